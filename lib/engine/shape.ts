import type { Engine, Feature } from "./contract.ts";

/** The members that every engine has, by the group that they are in. */
const REQUIRED = {
  instances: ["list", "find", "lock", "create", "start", "stop", "resize", "annotate", "remove"],
  snapshots: ["tree", "take", "restore", "delete", "rename", "describe"],
} as const;

/** A member that is there exactly when one of these features is declared. */
export interface Group {
  readonly features: readonly Feature[];
  readonly member: string;
  of(engine: Engine): unknown;
}

export const GROUPS: readonly Group[] = [
  { features: ["snapshot.group"], member: "snapshots.takeGroup", of: ({ snapshots }) => snapshots.takeGroup },
  { features: ["mount.native", "mount.classic"], member: "mounts", of: ({ mounts }) => mounts },
  { features: ["disks"], member: "disks", of: ({ disks }) => disks },
  { features: ["network.list"], member: "networks", of: ({ networks }) => networks },
  { features: ["network.attach"], member: "networks.attach", of: ({ networks }) => networks?.attach },
  { features: ["read-image"], member: "readImages", of: ({ readImages }) => readImages },
  { features: ["events"], member: "events", of: ({ events }) => events },
  { features: ["audit"], member: "maintenance", of: ({ maintenance }) => maintenance },
  { features: ["suspend"], member: "instances.suspend", of: ({ instances }) => instances.suspend },
  { features: ["clone"], member: "instances.clone", of: ({ instances }) => instances.clone },
  { features: ["rename"], member: "instances.rename", of: ({ instances }) => instances.rename },
  { features: ["portable"], member: "portable", of: ({ portable }) => portable },
  { features: ["adopt"], member: "adoption", of: ({ adoption }) => adoption },
  { features: ["eject"], member: "instances.eject", of: ({ instances }) => instances.eject },
  { features: ["autostart"], member: "autostart", of: ({ autostart }) => autostart },
  { features: ["console", "console.log"], member: "console", of: ({ console }) => console },
  { features: ["console.log"], member: "console.log", of: ({ console }) => console?.log },
  { features: ["console"], member: "console.open", of: ({ console }) => console?.open },
  { features: ["cluster"], member: "cluster", of: ({ cluster }) => cluster },
];

/** What an engine that was opened lacks, as the end of a sentence; undefined when it is whole. */
export function lackOf(engine: unknown): string | undefined {
  if (!isObject(engine)) {
    return "it gave no engine";
  }
  if (typeof engine.info !== "function") {
    return "it gave no info";
  }
  for (const [group, members] of Object.entries(REQUIRED)) {
    const found = engine[group];
    if (!isObject(found)) {
      return `it gave no ${group}`;
    }
    const lacking = members.find((member) => typeof found[member] !== "function");
    if (lacking !== undefined) {
      return `its ${group} have no ${lacking}`;
    }
  }
  return lackOfGuest(engine.guest) ?? lackOfDispose(engine);
}

function lackOfGuest(guest: unknown): string | undefined {
  if (!isObject(guest)) {
    return "it gave no guest";
  }
  const members = { ssh: ["endpoint"], engine: ["ready", "exec"] }[String(guest.via)];
  if (members === undefined) {
    return 'its guest.via must be "ssh" or "engine"';
  }
  const lacking = members.find((member) => typeof guest[member] !== "function");
  return lacking === undefined ? undefined : `its guest has no ${lacking}`;
}

function lackOfDispose(engine: Readonly<Record<PropertyKey, unknown>>): string | undefined {
  return typeof engine[Symbol.asyncDispose] === "function" ? undefined : "it gave no [Symbol.asyncDispose]";
}

function isObject(value: unknown): value is Readonly<Record<PropertyKey, unknown>> {
  return typeof value === "object" && value !== null;
}

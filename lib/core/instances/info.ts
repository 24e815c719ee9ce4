import type { Instance, InstanceOutline } from "../../engine/contract.ts";
import type {
  EachOptions,
  InfoOptions,
  InstanceInfo,
  InstanceSummary,
  Listing,
  ListOptions,
  Usage,
} from "../api/strata.ts";
import { answersWithin, canLogIn, tryOutput } from "../guest/guest.ts";
import { askAll } from "../session/engines.ts";
import type { Session } from "../session/session.ts";
import { displayState, getInstances, outlines, unlessGone } from "./instances.ts";
import { readImageSize } from "./read-images.ts";

/** How long a guest may take to answer, ms. */
const GUEST_TIMEOUT_MS = 10_000;

const PROBE = "cat /proc/loadavg /proc/meminfo /etc/os-release; df -B1 --output=used,size / | tail -1";

function releaseOf({ record }: InstanceOutline): string {
  return [record.image.os, record.image.release].filter(Boolean).join(" ");
}

function summary(session: Session, instance: InstanceOutline): InstanceSummary {
  return {
    name: instance.name,
    engine: session.engineName,
    state: displayState(instance),
    ipv4: instance.addresses,
    release: releaseOf(instance),
    ...(instance.member === undefined ? {} : { member: instance.member }),
  };
}

const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);

/** A summary of every instance of every engine of the configuration. */
export async function listing(session: Session, options: ListOptions = {}): Promise<Listing> {
  const engines = [session, ...(await session.others())].map(({ engineName }) => engineName);
  const { found, failures } = await askAll(session, async (each) =>
    (await outlines(each, options)).map((instance) => summary(each, instance)),
  );
  return { engines, instances: [...found].sort(byName), failures };
}

/** Everything about the named instances, or about all, including information from their guests. */
export async function info(
  session: Session,
  names?: readonly string[],
  options: InfoOptions = {},
): Promise<InstanceInfo[]> {
  const { instances } = await session.engine();
  const chosen =
    names === undefined ? await instances.list() : await getInstances(session, names, { deleted: "allowed" });
  const call: EachOptions = names === undefined ? { skipMissing: true } : {};
  const infos = await Promise.all(
    chosen.map((instance) => unlessGone(call, () => infoOf(session, instance, options))),
  );
  return infos.filter((each) => each !== undefined).sort(byName);
}

async function infoOf(session: Session, instance: Instance, options: InfoOptions): Promise<InstanceInfo> {
  const running = instance.state === "running" && !instance.record.deleted;
  const asked = options.askGuests !== false && running && (await canLogIn(session, instance));
  const probed = asked ? await probe(session, instance, options) : null;
  const inside = readProbe(probed ?? "");
  const extra = await readImageSize(session, instance);
  const { instances, autostart } = await session.engine();
  const [onHost, starts] =
    options.host === true
      ? await Promise.all([instances.footprint?.(instance.id), autostart?.get(instance.id)])
      : [];
  return {
    ...summary(session, instance),
    // The login worked, so it has booted; the mark of the boot is removed by the next holder of the lock.
    ...(probed === null ? {} : { state: displayState(answered(instance)) }),
    ...(inside.release === undefined ? {} : { release: inside.release }),
    id: instance.id,
    createdAt: instance.record.createdAt,
    macs: onHost?.macs ?? null,
    hostDisk: onHost?.hostDisk ?? null,
    autostart: starts ?? null,
    snapshotCount: instance.snapshotCount,
    imageHash: instance.record.image.sha256,
    imageOs: instance.record.image.os,
    imageRelease: instance.record.image.release,
    cpus: instance.resources.cpus,
    resources: instance.resources,
    guestAnswered: asked ? probed !== null : null,
    load: inside.load,
    disk: inside.disk,
    memory: inside.memory,
    mounts: instance.mounts,
    readImageSize: extra,
    firmware: instance.firmware ?? null,
    tpm: instance.tpm ?? null,
    resumes: instance.resumes ?? null,
  };
}

function answered(instance: Instance): Instance {
  return { ...instance, record: { ...instance.record, startingAt: 0 } };
}

/** A guest's information about itself; null if it does not answer in time. */
async function probe(session: Session, instance: Instance, options: InfoOptions): Promise<string | null> {
  if (options.wait !== undefined && !(await answersWithin(session, instance, options.wait, options))) {
    return null;
  }
  return tryOutput(session, instance, ["sh", "-c", PROBE], GUEST_TIMEOUT_MS);
}

/** Parses the output of the probe; what it lacks stays empty. */
export function readProbe(output: string): {
  load: number[];
  memory: Usage | null;
  disk: Usage | null;
  release: string | undefined;
} {
  const load = /^([\d.]+) ([\d.]+) ([\d.]+) \d+\/\d+ \d+$/m.exec(output)?.slice(1).map(Number) ?? [];
  const kib = (key: string) => {
    const found = new RegExp(`^${key}:\\s+(\\d+) kB$`, "m").exec(output)?.[1];
    return found === undefined ? undefined : BigInt(found) * 1024n;
  };
  const total = kib("MemTotal");
  const available = kib("MemAvailable");
  const [, used, size] = /^\s*(\d+)\s+(\d+)\s*$/m.exec(output) ?? [];
  return {
    load,
    memory: total === undefined || available === undefined ? null : { used: total - available, total },
    disk: used === undefined || size === undefined ? null : { used: BigInt(used), total: BigInt(size) },
    release: /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(output)?.[1],
  };
}

import { appendFileSync } from "node:fs";
import { outlineOf } from "../../lib/core/snapshots/outline.ts";
import { asStrataError } from "../../lib/errors.ts";
import libvirt from "../../plugins/libvirt/index.ts";
import { silent } from "../support/libvirt/fixture.ts";
import { numbers, pick } from "./trials.ts";
import { perform, type Verb } from "./verb.ts";

/**
 * One process of a crowd: many clients, each with a connection of its own, each doing a few things to
 * instances that all of the crowd share. What each came to is told at the end.
 */
export interface CrowdTask {
  readonly settings: Readonly<Record<string, string>>;
  readonly clients: number;
  readonly rounds: number;
  readonly names: readonly string[];
  readonly seed: number;
  /** Where every hold is written down, begin and end. */
  readonly journal: string;
  /** Share of what they do that only reads: 1 for a user who may do no more. */
  readonly readers: number;
}

/** What a client may be told. */
const FAIR = ["BUSY", "SNAPSHOT_EXISTS", "SNAPSHOT_NOT_FOUND"];
const task: CrowdTask = JSON.parse(process.argv[2] ?? "{}");
const random = numbers(task.seed);
const outcomes: Record<string, number> = {};
await Promise.all(Array.from({ length: task.clients }, (_, at) => client(at)));
process.send?.(outcomes, () => process.exit());

async function client(at: number): Promise<void> {
  await using engine = await libvirt.open({
    settings: task.settings,
    dataFolder: "/nonexistent",
    log: silent,
  });
  for (let round = 0; round < task.rounds; round += 1) {
    const on = pick(task.names, random);
    const came = await act(engine, on, `${process.pid}-${at}-${round}`).then(
      () => "done",
      (error: unknown) => {
        const { code, message } = asStrataError(error);
        return FAIR.includes(code) ? code : `${code}: ${message}`;
      },
    );
    outcomes[came] = (outcomes[came] ?? 0) + 1;
  }
}

async function act(engine: Parameters<typeof perform>[0], on: string, id: string): Promise<void> {
  // Readers take no lock and are never in the way.
  if (random() < task.readers) {
    return read(engine, on);
  }
  await perform(engine, choose(on, id), 300_000, (what) =>
    appendFileSync(task.journal, `${what} ${on} ${id}\n`),
  );
}

/** Whatever others do meanwhile, what is told is a tree: no parent is missing, nor what it stands on. */
async function read({ instances, snapshots }: Parameters<typeof perform>[0], on: string): Promise<void> {
  const found = await instances.find(on);
  if (found === null) {
    throw new Error(`${on} is not found`);
  }
  if (!(await instances.list()).some(({ name }) => name === on)) {
    throw new Error(`${on} is not listed`);
  }
  const outline = await outlineOf(snapshots, found.id).catch((error: unknown) => {
    // Which takes the head's header.
    if (asStrataError(error).code !== "PERMISSION_DENIED") {
      throw error;
    }
    return { names: [], standsOn: null };
  });
  if (outline.standsOn !== null && !outline.names.includes(outline.standsOn)) {
    throw new Error(`by its outline it stands on ${outline.standsOn}, which is not there`);
  }
  const tree = await snapshots.tree(found.id);
  const names = new Set<string | null>([null, ...tree.snapshots.map(({ name }) => name)]);
  const loose = tree.snapshots.find(({ parent }) => !names.has(parent));
  if (loose !== undefined) {
    throw new Error(`the parent of ${loose.name}, ${loose.parent}, is not there`);
  }
  if (!names.has(tree.standsOn)) {
    throw new Error(`it stands on ${tree.standsOn}, which is not there`);
  }
}

function choose(on: string, id: string): Verb {
  const name = `s${Math.floor(random() * 6)}`;
  const verbs: Verb[] = [
    { kind: "take", on, name, createdAt: Date.now() },
    { kind: "take", on, name: `own${id}`, createdAt: Date.now() },
    { kind: "restore", on, name },
    { kind: "delete", on, name },
    { kind: "rename", on, name, to: `s${Math.floor(random() * 6)}` },
    { kind: "resize", on, cpus: 1 + Math.floor(random() * 4), mebibytes: 16 },
  ];
  return pick(verbs, random);
}

import { in_, type Mutant } from "./mutants.ts";

const moment = in_("moment.ts");
const snapshots = in_("snapshots.ts");
const instances = in_("instances.ts");
const guest = in_("guest.ts");
const index = in_("index.ts");

const MOMENT = "a snapshot of a running instance is of one moment";
const CONSISTENT = "a snapshot is as consistent as was asked for, or refused";
const FROZEN = "no guest stays frozen";
const ROOM = "a deletion gives room back while the instance runs";
const MEMORY = "memory comes back with its disk, or not at all";
const LEFT_OUT = "memory is left out where nobody asks for it";
const GROUP = "a group of snapshots is of all or of none";
const LOCKED = "every change needs the lock";

const TOLD = "({ contents, further, variables: _, memory, ...record })";

/** Ways to break what the memory engine does with running instances and their memory. */
export const RUNNING_MUTANTS: readonly Mutant[] = [
  moment(MOMENT, "...(cut ? powerless(stored) : stored),", "...stored,"),
  moment(MOMENT, "...(cut ? powerless(stored) : stored),", "...powerless(stored),"),
  moment(MOMENT, "...machineOf(stored), ...memory", "contents: {}, ...memory"),
  moment(MOMENT, "standsOn: record.name,", ""),
  moment(MOMENT, "record: { ...stored.record, snapshotsTaken: taken },", ""),
  snapshots(MOMENT, TOLD, TOLD.replace("memory,", "memory, consistency: __,")),
  snapshots(MOMENT, 'goOn(context);\n      world.step("take");', 'world.step("take");'),

  moment(
    CONSISTENT,
    'requireStopped(stored, "Only stopped instances can be snapshotted as stopped ones");',
    "",
  ),
  moment(CONSISTENT, 'if (state !== "running")', "if (false)"),
  moment(CONSISTENT, 'if (state === "suspended")', 'if (state === "suspended") return;\n  if (false)'),
  moment(CONSISTENT, 'if (consistency === "files" && contents', "if (false && contents"),
  moment(
    FROZEN,
    "...(cut ? powerless(stored) : stored),",
    '...stored, state: record.consistency === "files" ? "suspended" : stored.state,',
  ),
  index(ROOM, "sum(snapshots.map((snapshot) => snapshot.contents))", "1n"),

  moment(MEMORY, "{ memory: stored.memory ?? {} }", "{ memory: {} }"),
  moment(MEMORY, "memory, resumes: name }", "memory }"),
  moment(MEMORY, 'state: "suspended", memory', 'state: "running", memory'),
  moment(MEMORY, "...machineOf(snapshot),", ""),
  moment(MEMORY, "...restoredDisks(stored, snapshot),", ""),
  moment(MEMORY, "    mounts,\n", ""),
  moment(MEMORY, "({ memory: _, resumes: __, ...kept }", "({ resumes: __, ...kept }"),
  instances(MEMORY, "const { resumes: _, ...kept } = stored;", "const kept = stored;"),
  instances(MEMORY, "const { resumes: _, ...kept } = stored;", "const kept = powerless(stored);"),
  snapshots(MEMORY, "...(stored.resumes === name ? { resumes: to } : {}),", ""),
  snapshots(MEMORY, 'requireStopped(stored, "Only stopped instances can be restored");', ""),
  guest(MEMORY, 'inMemory(path) ? "memory" : "contents"', '"contents"'),

  moment(LEFT_OUT, "...(wantsMemory && memory !== undefined", "...(memory !== undefined"),
  moment(LEFT_OUT, "({ memory: _, resumes: __, ...kept }", "({ memory: _, ...kept }"),
  instances(
    LEFT_OUT,
    "await world.put(powerless(stored));",
    'await world.put({ ...stored, state: "stopped" });',
  ),
  snapshots(LEFT_OUT, "...(memory === undefined ? {} : { memorySize: sizeOf(memory) }),", ""),
  snapshots(LEFT_OUT, "...(memory === undefined ? {} : { memorySize: sizeOf(memory) }),", "memorySize: 1n,"),

  snapshots(GROUP, "await world.change([...ids],", "for (const id of ids) await world.change([id],"),
  snapshots(GROUP, 'record.consistency === "memory"', "false"),
  snapshots(
    GROUP,
    "const { id } = await locked(lock);\n        ids",
    "const { id } = lock.instance;\n        ids",
  ),
  snapshots(GROUP, "goOn(context);\n      for (const { record }", "for (const { record }"),
  snapshots(GROUP, "withSnapshot(now, record, taken, false)", "withSnapshot(now, record, taken, true)"),
  snapshots(GROUP, TOLD, TOLD.replace("memory,", "memory, group: __,")),
  moment(GROUP, "if (stored.snapshots.some(({ name }) => name === record.name))", "if (false)"),
  snapshots(
    LOCKED,
    "const { id } = await locked(lock);\n        ids",
    "const { id } = lock.instance;\n        ids",
  ),
];

import { in_, type Mutant } from "./mutants.ts";

const disks = in_("disks.ts");
const instances = in_("instances.ts");
const moment = in_("moment.ts");

const ASKED = "further disks are those that were asked for";
const COVERED = "a snapshot covers all disks, at one moment";
const STAYS = "a disk that a snapshot has is not removed";
const EXCLUDED = "excluded disks are left alone";
const GROWTH = "further disks grow as they are named";
const COPIES = "clones and what is adopted have the covered disks";
const LOCKED = "every change needs the lock";
const CALLED_OFF = "what is called off changes nothing";

const UNLOCKED = "await world.get(lock.instance.id)";
const HELD = "await lockedInstance(world, locks, lock)";
const after = (call: string, rest: string) => [`${call} {\n      const stored = ${HELD}`, rest] as const;
const ADD = "async add(lock, size, context)";
const REMOVE = "async remove(lock, name, context)";
const EXCLUDE = "async exclude(lock, name, excluded, context)";

/** Ways to break what the memory engine does with further disks. */
export const DISK_MUTANTS: readonly Mutant[] = [
  instances(ASKED, "{ ...spec.resources, ...newDisks(spec.extraDisks) }", "spec.resources"),
  disks(ASKED, "for (const size of sizes)", "for (const size of sizes.toReversed())"),
  disks(ASKED, "name: freeName(taken), size };", "name: freeName(taken), size: 0n };"),
  disks(ASKED, "[...(stored.resources.disks ?? []), disk]", "[disk]"),
  disks(ASKED, 'requireStopped(stored, "Disks can be added only to stopped instances");', ""),
  disks(ASKED, 'requireStopped(stored, "Disks can be removed only from stopped instances");', ""),
  disks(ASKED, "[stored, ...stored.snapshots].flatMap", "[stored].flatMap"),
  disks(ASKED, "(stored.resources.disks ?? []).filter(isNot(name))", "[]"),
  disks(ASKED, "(stored.resources.disks ?? []).filter(isNot(name))", "stored.resources.disks ?? []"),
  disks(ASKED, "      requireDisk(stored, name);\n      const holder", "      const holder"),
  disks(ASKED, "return disks.length === 0 ? {} : { disks };", "return { disks };"),
  disks(ASKED, "const disks = [...kept, ...back]", "const disks = [...kept, ...back, ...(now.disks ?? [])]"),
  disks(ASKED, "const disks = [...kept, ...back]", "const disks = [...kept]"),

  moment(COVERED, "...machineOf(stored), ...memory, further }", "...machineOf(stored), ...memory }"),
  disks(COVERED, "...picked(saved, back)", "...picked(written, back)"),
  disks(COVERED, "...picked(saved, back)", ""),
  moment(COVERED, "...restoredDisks(stored, snapshot),", "resources: snapshot.resources,"),

  disks(STAYS, "if (holder !== undefined)", "if (false)"),
  disks(STAYS, "covers(resources, name));", "resources.disks?.some((disk) => disk.name === name));"),
  disks(STAYS, "disk.name === name && disk.excluded !== true", "disk.excluded !== true"),

  disks(EXCLUDED, "excluded === true || (!covers", "(!covers"),
  disks(EXCLUDED, "!covers(then, name) && (then.disks ?? [])", "(then.disks ?? [])"),
  disks(EXCLUDED, "({ name, excluded }) => excluded !== true && kept.every", "({ name }) => kept.every"),
  disks(EXCLUDED, "excluded ? { name, size, excluded } : { name, size }", "{ name, size }"),
  disks(
    EXCLUDED,
    "excluded ? { name, size, excluded } : { name, size }",
    "{ name, size, excluded: true as const }",
  ),
  disks(EXCLUDED, "const { size } = requireDisk(stored, name);", "const size = 0n;"),
  disks(EXCLUDED, "...picked(written, kept), ", ""),

  disks(GROWTH, "size < disk.size", "false"),
  disks(GROWTH, "const disk = requireDisk(stored, name);", "const disk = { name, size: 0n };"),
  disks(GROWTH, "disks = replaced(disks, { ...disk, size });", ""),
  disks(GROWTH, "disks = replaced(disks, { ...disk, size });", "disks = [{ ...disk, size }];"),
  instances(GROWTH, "...others, ...grown }", "...others }"),
  instances(
    GROWTH,
    "const { disks = [], ...others } = change;",
    "const { disks = [] } = change;\n      const others = {};",
  ),

  instances(COPIES, "...coveredDisks(stored), ", ""),
  disks(COPIES, "disks.filter(({ excluded }) => excluded !== true)", "disks"),
  disks(COPIES, "further: picked(further, covered)", "further: {}"),

  ...[ADD, REMOVE, EXCLUDE].map((call) =>
    disks(LOCKED, ...after(call, `${call} {\n      const stored = ${UNLOCKED}`)),
  ),
  disks(
    CALLED_OFF,
    'stopped instances");\n      goOn(context);\n      // A name',
    'stopped instances");\n      // A name',
  ),
];

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are texts of another program.
/** One way to break the sample engine: a text of one of its files, what takes its place, and the rule that is broken. */
export interface Mutant {
  readonly file: string;
  readonly before: string;
  readonly after: string;
  /** As in the table of docs/plugins.md, "Rules and their tests". */
  readonly rule: string;
}

/** Mutants of that file. */
export const in_ =
  (file: string) =>
  (rule: string, before: string, after: string): Mutant => ({ file, before, after, rule });

const manifest = in_("package.json");
const index = in_("src/index.ts");
const store = in_("src/store.ts");
const lock = in_("src/lock.ts");
const instances = in_("src/instances.ts");
const snapshots = in_("src/snapshots.ts");
const guest = in_("src/guest.ts");

const AGREE = "the manifest and the module agree";
const GROUPS = "optional groups are there when declared";
const WORDS = "features are words that strata knows";
const TERMINAL = "the terminal is left alone";
const SETTINGS = "settings validate themselves";
const TEXTS = "texts come back as they went in";
const KNOWN = "members that are not known are kept";
const DELETED = "deleted instances are listed";
const ASKED = "an instance is what was asked for";
const REFUSED = "what cannot be done is refused";
const NAMES = "a name is taken once";
const IDEMPOTENT = "verbs are idempotent";
const STATES = "states are respected";
const LOCKED = "every change needs the lock";
const FRESH = "a lock has the instance as it is";
const WAITED = "a lock is waited for, and then BUSY";
const RESOURCES = "resources change as asked, and disks never shrink";
const RECORDS = "a snapshot records all";
const CLOUD = "a restore brings back cloud-init's instance id";
const TREE = "the tree follows what was taken and restored";
const OTHERS = "a deletion leaves all others as they were";
const SNAPSHOT_NAMES = "names of snapshots are checked";
const FOLLOW = "children follow a rename";
const COMMANDS = "commands are argv, and their status is a result";
const RUNNING = "a snapshot of a running instance is of one moment";
const CONSISTENT = "a snapshot is as consistent as was asked for, or refused";
const CALLED_OFF = "what is called off changes nothing";
const FEATURES = 'features: new Set(["snapshot.stopped",';

/** The calls that change an instance, each with its own way around the lock. */
const UNLOCKED = "store.get(lock.instance.id)";

export const MUTANTS: readonly Mutant[] = [
  index(RUNNING, FEATURES, `${FEATURES} "snapshot.running",`),
  index(CONSISTENT, FEATURES, `${FEATURES} "snapshot.running", "snapshot.quiesce",`),
  manifest(AGREE, '"version": "0.1.0"', '"version": "0.2.0"'),
  index(AGREE, "name: plugin.name,", 'name: "samples",'),
  index(AGREE, 'version: "0.1.0",\n      engine', 'version: "",\n      engine'),
  index(AGREE, 'name: "sample",', 'name: "samples",'),
  index(AGREE, 'apiVersion: "3.0.0"', 'apiVersion: "2.1.0"'),
  index(
    "loading the module does nothing",
    "export default plugin;",
    "export default plugin;\nsetInterval(() => {}, 1000);",
  ),
  index(
    "loading the module does nothing",
    "export default plugin;",
    "export default plugin;\nconsole.log(plugin.name);",
  ),
  index(
    "nothing runs after it is closed",
    "const store = await",
    "setInterval(() => {}, 1000);\n  const store = await",
  ),
  index(
    "`check` never throws",
    "check: async () => [",
    "check: async ({ dataFolder }) => [...(await import('node:fs')).readdirSync(dataFolder).slice(0, 0),",
  ),
  index(SETTINGS, 'value === "" ||', ""),
  index(SETTINGS, 'undefined : "must be an absolute path"', 'undefined : ""'),
  index(SETTINGS, 'value.startsWith("/") ?', 'value.split("/")[1].length > 0 ?'),
  index(WORDS, '"disk.grow"]', '"disk.grow", "snapshot.runing"]'),
  index(WORDS, '"disk.grow"]', '"disk.grow", "mount.idmap"]'),
  index(WORDS, '["suspend", "there', '["suspnd", "there'),
  index(GROUPS, '"disk.grow"]', '"disk.grow", "clone"]'),
  index(
    GROUPS,
    "guest: guestAccess(store),",
    "guest: guestAccess(store),\n    networks: { list: async () => [] },",
  ),
  instances(TERMINAL, "await store.put(stored);", "console.log(name);\n      await store.put(stored);"),
  snapshots(
    TERMINAL,
    "goOn(context);\n      await store.put({\n        ...stored,\n        disk,",
    "process.stderr.write(name);\n      await store.put({\n        ...stored,\n        disk,",
  ),

  store(
    TEXTS,
    "JSON.parse(text)",
    "JSON.parse(text, (_, v) => (/^bigint:/.test(v) ? BigInt(v.slice(7)) : v))",
  ),
  snapshots(TEXTS, "{ ...record, disk }", "{ ...record, comment: record.comment.trim(), disk }"),
  snapshots(
    TEXTS,
    "{ ...record, disk }",
    "{ ...record, createdAt: Math.trunc(record.createdAt / 1000) * 1000, disk }",
  ),
  instances(
    KNOWN,
    "        record,\n        disk",
    "        record: { version: record.version, image: record.image, username: record.username, deleted: record.deleted, snapshotsTaken: record.snapshotsTaken, cloudInstanceId: record.cloudInstanceId, createdAt: record.createdAt },\n        disk",
  ),
  instances(KNOWN, "record: { ...stored.record, ...Object", "record: { ...Object"),
  instances("`undefined` members are left alone", "value !== undefined", "true"),
  instances(
    DELETED,
    "(await store.all()).map(view)",
    "(await store.all()).filter(({ record }) => !record.deleted).map(view)",
  ),
  instances(
    DELETED,
    "find((stored) => stored.name === name);\n      return",
    "find((stored) => stored.name === name && !stored.record.deleted);\n      return",
  ),
  instances(
    ASKED,
    "        resources,\n        mounts",
    "        resources: { ...resources, memory: resources.memory / 2n },\n        mounts",
  ),
  instances(ASKED, 'state: "stopped",\n        resources', 'state: "running",\n        resources'),
  instances(REFUSED, "mounts.length > 0 ||", ""),
  instances(REFUSED, "|| networks.length > 0", ""),
  instances(REFUSED, "|| extraDisks.length > 0", ""),
  instances(NAMES, "if ((await store.all()).some((stored) => stored.name === name)) {", "if (false) {"),
  instances(NAMES, 'lockPath("names")', "lockPath(`names-${Math.random()}`)"),
  instances(
    IDEMPOTENT,
    'goOn(context);\n      await store.put({ ...stored, state: "running" });',
    'if (stored.state === "running") throw failure("WRONG_STATE", { name: stored.name, reason: "It runs", state: "Running" });\n      await store.put({ ...stored, state: "running" });',
  ),
  instances(
    IDEMPOTENT,
    'stop: async (lock) => store.put({ ...(await get(lock)), state: "stopped" })',
    'async stop(lock) { const stored = await get(lock); if (stored.state === "stopped") throw failure("WRONG_STATE", { name: stored.name, reason: "It does not run", state: "Stopped" }); await store.put({ ...stored, state: "stopped" }); }',
  ),
  instances(STATES, 'requireStopped(stored, "Only stopped instances can be resized");', ""),
  snapshots(STATES, 'requireStopped(stored, "Only stopped instances can be snapshotted");', ""),
  snapshots(STATES, 'requireStopped(stored, "Only stopped instances can be restored");', ""),
  instances(
    "`remove` works in every state",
    "const { id } = await get(lock);",
    'const { id, ...stored } = await get(lock);\n      requireStopped({ id, ...stored }, "Only stopped instances can be removed");',
  ),
  instances("`remove` works in every state", "await store.remove(id);", ""),

  instances(
    LOCKED,
    "async start(lock, context) {\n      const stored = await get(lock)",
    `async start(lock, context) {\n      const stored = await ${UNLOCKED}`,
  ),
  instances(LOCKED, "store.put({ ...(await get(lock)), state", `store.put({ ...(await ${UNLOCKED}), state`),
  instances(
    LOCKED,
    "async resize(lock, change, context) {\n      const stored = await get(lock)",
    `async resize(lock, change, context) {\n      const stored = await ${UNLOCKED}`,
  ),
  instances(
    LOCKED,
    "async annotate(lock, change) {\n      const stored = await get(lock)",
    `async annotate(lock, change) {\n      const stored = await ${UNLOCKED}`,
  ),
  instances(LOCKED, "const { id } = await get(lock)", `const { id } = await ${UNLOCKED}`),
  ...[
    "take(lock, record, taken, context)",
    "restore(lock, name, context)",
    "delete(lock, { name, parent, children }, context)",
    "rename(lock, name, to, context)",
    "describe(lock, name, comment, context)",
  ].map((call) =>
    snapshots(
      LOCKED,
      `async ${call} {\n      const stored = await get(lock)`,
      `async ${call} {\n      const stored = await ${UNLOCKED}`,
    ),
  ),
  lock(LOCKED, "locks.delete(lock);", ""),
  lock(LOCKED, "if (!locks.has(lock)) {", "if (false) {"),
  lock(
    "a lock is of the whole host, and ends with its holder",
    "store.lockPath(found.id)",
    "store.lockPath(`${found.id}-${process.pid}`)",
  ),
  lock(
    "a lock keeps others out",
    "store.lockPath(found.id)",
    "store.lockPath(`${found.id}-${Math.random()}`)",
  ),
  lock("a lock keeps others out", "locks.delete(lock);\n    await file.close();", "locks.delete(lock);"),
  lock(WAITED, "String(wait / 1000)", '"0"'),
  lock(WAITED, '"--wait", String(wait / 1000), ', ""),
  lock(WAITED, "file.fd], signal }", "file.fd] }"),
  lock(FRESH, "view(await store.get(found.id))", "view(found)"),
  lock(FRESH, "(wanted !== undefined && found.id !== wanted)", "false"),

  instances(
    RESOURCES,
    "resources: { ...resources, ...change }",
    "resources: { ...resources, cpus: change.cpus ?? resources.cpus }",
  ),
  instances(RESOURCES, "change.disk < resources.disk", "false"),
  snapshots(RECORDS, "{ ...record, disk }", "{ ...record, disk: {} }"),
  snapshots(RECORDS, "        disk,\n        resources,", "        disk,"),
  snapshots(RECORDS, "        disk,\n        resources,", "        resources,"),
  snapshots(CLOUD, "{ ...stored.record, cloudInstanceId }", "stored.record"),
  snapshots(
    CLOUD,
    "{ ...stored.record, cloudInstanceId }",
    "{ ...stored.record, cloudInstanceId, hostKey: undefined }",
  ),
  snapshots(TREE, "snapshotsTaken: taken", "snapshotsTaken: stored.record.snapshotsTaken"),
  snapshots(TREE, "standsOn: record.name,", ""),
  snapshots(TREE, "        standsOn: name,", ""),
  snapshots(
    TREE,
    "{ ...stored.record, cloudInstanceId }",
    "{ ...stored.record, cloudInstanceId, snapshotsTaken: 1 }",
  ),
  snapshots(OTHERS, "children.includes(snapshot.name)", "false"),
  snapshots(
    OTHERS,
    "snapshot.name !== name)",
    "snapshot.name !== name && !children.includes(snapshot.name))",
  ),
  snapshots(
    OTHERS,
    "standsOn: stored.standsOn === name ? parent : stored.standsOn",
    "standsOn: stored.standsOn",
  ),
  snapshots(
    "a deletion works while the instance runs",
    "async delete(lock, { name, parent, children }, context) {\n      const stored = await get(lock);",
    'async delete(lock, { name, parent, children }, context) {\n      const stored = await get(lock);\n      requireStopped(stored, "Not while it runs");',
  ),
  snapshots(
    "deleting what has gone is success",
    "async delete(lock, { name, parent, children }, context) {\n      const stored = await get(lock);",
    "async delete(lock, { name, parent, children }, context) {\n      const stored = await get(lock);\n      find(stored, name);",
  ),
  snapshots(SNAPSHOT_NAMES, "requireFree(stored, record.name);", ""),
  snapshots(SNAPSHOT_NAMES, "if (to !== name) {", "if (false) {"),
  snapshots(SNAPSHOT_NAMES, "find(stored, name);\n      if (to", "if (to"),
  snapshots(FOLLOW, "parent: renamed(snapshot.parent),", ""),
  snapshots(FOLLOW, "standsOn: renamed(stored.standsOn),", ""),
  snapshots(FOLLOW, "snapshot === found ? {", "true ? {"),

  guest(COMMANDS, "await ready(id);\n      return", "return"),
  guest(COMMANDS, 'args.join(" ")', 'args.join(" ").trim().replace(/ +/g, " ")'),
  guest(
    COMMANDS,
    'case "false":\n      return { code: 1 };',
    'case "false":\n      throw new Error("it failed");',
  ),
  guest(
    COMMANDS,
    "stdout.end(out);\n    stderr.end(error);",
    "stdout.end(`${out}${error}`);\n    stderr.end();",
  ),
  guest(COMMANDS, "`${cwd}\\n`", '"/\\n"'),
  guest("a signal ends a command", ", cancelled]).then(end)", "]).then(end)"),
  instances(
    CALLED_OFF,
    "goOn(context);\n      const { signal } = context;",
    "const { signal } = new Object({ signal: new AbortController().signal }) as Context;",
  ),
  snapshots(
    CALLED_OFF,
    "requireFree(stored, record.name);\n      goOn(context);",
    "requireFree(stored, record.name);",
  ),
];

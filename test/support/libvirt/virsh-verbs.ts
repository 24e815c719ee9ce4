import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { virsh, virshRefusal } from "./virsh.ts";
import type { Scene } from "./virsh-scene.ts";

export type Power = "stopped" | "running";

/** Something that is done to an instance with libvirt's own tools. */
export interface Verb {
  readonly what: string;
  readonly power: readonly Power[];
  /** How the instance comes to be as it is before. */
  readonly setting: (scene: Scene) => Promise<void>;
  /** Does it, and changes what is expected; resolves to libvirt's reason where it refuses. */
  readonly act: (scene: Scene, power: Power) => Promise<string | null>;
  /** The disk is a frozen file afterwards: strata must refuse to write it. */
  readonly frozen?: true;
}

const SEED_OUT = ["--diskspec", "vdb,snapshot=no"];

/** s1 to s3 in a row, the disk written since. */
async function row(scene: Scene): Promise<void> {
  await scene.chain(["s1", "s2", "s3"], 2);
}

/** s1 with two branches, s2 to s3 and b1; the disk is on the second. */
async function branches(scene: Scene): Promise<void> {
  await row(scene);
  await scene.restore("s1");
  await scene.write(10);
  await scene.chain(["b1"], 11);
}

/** A row, restored to its root by strata and written since. */
async function restored(scene: Scene): Promise<void> {
  await row(scene);
  await scene.restore("s1");
  await scene.write(12);
}

const create =
  (options: readonly string[], is: "internal" | "external" | "nothing" = "external"): Verb["act"] =>
  async (scene) => {
    const reason = await virshRefusal("snapshot-create-as", scene.name, "v", ...SEED_OUT, ...options);
    if (reason !== null) {
      return reason;
    }
    if (is !== "nothing") {
      scene.expected.snapshots.set("v", scene.expected.activeLayer);
    }
    if (is === "internal") {
      scene.expected.internal.add("v");
    }
    return null;
  };

const remove =
  (snapshot: string, gone: readonly string[], ...options: readonly string[]): Verb["act"] =>
  async ({ name, expected }) => {
    const reason = await virshRefusal("snapshot-delete", name, snapshot, ...options);
    if (reason !== null) {
      return reason;
    }
    for (const each of gone) {
      const digest = expected.snapshots.get(each) ?? "";
      // Nobody said that the data may go, only the record.
      if (options.includes("--metadata")) {
        expected.kept.add(digest);
      }
      expected.snapshots.delete(each);
    }
    return null;
  };

const goBack =
  (snapshot: string): Verb["act"] =>
  async ({ name, expected }, power) => {
    const running = power === "running" ? ["--running"] : [];
    const reason = await virshRefusal("snapshot-revert", name, snapshot, ...running);
    if (reason === null) {
      expected.activeLayer = expected.snapshots.get(snapshot) ?? "";
    }
    return reason;
  };

/** libvirt names the files that it makes by the second, and refuses to make one that is there. */
async function nextSecond(): Promise<void> {
  const second = () => Math.floor(Date.now() / 1000);
  const begun = second();
  while (second() === begun) {
    await delay(10);
  }
}

const rewrite =
  (snapshot: string, change: (xml: string) => string): Verb["act"] =>
  async (scene) => {
    const file = join(scene.stage.fixture.folder, "record.xml");
    await writeFile(file, change(await virsh("snapshot-dumpxml", scene.name, snapshot)));
    return virshRefusal("snapshot-create", scene.name, file, "--redefine");
  };

const OLDER = "older.xml";

/** A row; the definition is kept from before its last snapshot. */
async function rowWithOlder(scene: Scene): Promise<void> {
  await scene.chain(["s1", "s2"], 2);
  const file = join(scene.stage.fixture.folder, OLDER);
  await writeFile(file, await virsh("dumpxml", "--inactive", scene.name));
  await scene.chain(["s3"], 4);
}

const BOTH = ["stopped", "running"] as const;

export const VERBS: readonly Verb[] = [
  { what: "creates an internal snapshot", power: BOTH, setting: row, act: create([], "internal") },
  { what: "creates a disk-only snapshot", power: BOTH, setting: row, act: create(["--disk-only"]) },
  {
    what: "creates two disk-only snapshots in a row",
    power: BOTH,
    setting: row,
    async act(scene, power) {
      const reason = await virshRefusal("snapshot-create-as", scene.name, "u", ...SEED_OUT, "--disk-only");
      if (reason !== null) {
        return reason;
      }
      scene.expected.snapshots.set("u", scene.expected.activeLayer);
      return create(["--disk-only"])(scene, power);
    },
  },
  {
    what: "creates a snapshot with memory",
    power: ["running"],
    setting: row,
    act: (scene, power) =>
      create(["--live", "--memspec", `file=${scene.folder}/memory.save,snapshot=external`])(scene, power),
  },
  {
    what: "creates an overlay without metadata",
    power: ["running"],
    setting: row,
    act: create(["--disk-only", "--no-metadata"], "nothing"),
  },
  { what: "reverts to the root", power: BOTH, setting: row, act: goBack("s1") },
  { what: "reverts to the last", power: BOTH, setting: row, act: goBack("s3") },
  { what: "reverts to another branch", power: BOTH, setting: branches, act: goBack("s3") },
  { what: "reverts to a child after strata restored", power: BOTH, setting: restored, act: goBack("s2") },
  {
    what: "reverts to an internal snapshot",
    power: BOTH,
    async setting(scene) {
      await row(scene);
      await create([], "internal")(scene, "stopped");
      await scene.write(13);
    },
    act: goBack("v"),
  },
  {
    what: "reverts to the root, then to a child",
    power: BOTH,
    setting: row,
    async act(scene, power) {
      const reason = await goBack("s1")(scene, power);
      await nextSecond();
      return reason ?? goBack("s2")(scene, power);
    },
  },
  { what: "deletes the last", power: BOTH, setting: row, act: remove("s3", ["s3"]) },
  { what: "deletes one in the middle", power: BOTH, setting: row, act: remove("s2", ["s2"]) },
  { what: "deletes the root", power: BOTH, setting: row, act: remove("s1", ["s1"]) },
  { what: "deletes a branch point", power: BOTH, setting: branches, act: remove("s1", ["s1"]) },
  { what: "deletes what strata restored", power: BOTH, setting: restored, act: remove("s1", ["s1"]) },
  { what: "deletes the last of another branch", power: BOTH, setting: branches, act: remove("s3", ["s3"]) },
  { what: "deletes the last of its branch", power: BOTH, setting: branches, act: remove("b1", ["b1"]) },
  {
    what: "deletes one with its children",
    power: BOTH,
    setting: row,
    act: remove("s2", ["s2", "s3"], "--children"),
  },
  {
    what: "deletes the record of one",
    power: BOTH,
    setting: row,
    act: remove("s2", ["s2"], "--metadata"),
  },
  {
    what: "deletes the record of a branch point",
    power: BOTH,
    setting: branches,
    act: remove("s1", ["s1"], "--metadata"),
  },
  {
    what: "deletes the records of one and its children",
    power: BOTH,
    setting: row,
    act: remove("s2", ["s2", "s3"], "--children", "--metadata"),
  },
  {
    what: "redefines one as it is",
    power: BOTH,
    setting: row,
    act: rewrite("s2", (xml) => xml),
  },
  {
    what: "redefines one under another parent",
    power: BOTH,
    setting: row,
    act: rewrite("s3", (xml) => xml.replace("<name>s2</name>", "<name>s1</name>")),
  },
  {
    what: "redefines one without our metadata",
    power: BOTH,
    setting: row,
    act: rewrite("s2", (xml) => xml.replace(/<metadata>[\s\S]*?<\/metadata>/, "")),
  },
  {
    what: "defines an older definition",
    power: BOTH,
    setting: rowWithOlder,
    frozen: true,
    async act(scene) {
      const { expected, stage, name } = scene;
      const file = join(stage.fixture.folder, OLDER);
      if (!(await readFile(file, "utf8")).includes(name)) {
        throw new Error("the definition is another's");
      }
      await virsh("define", file);
      expected.kept.add(expected.activeLayer);
      expected.activeLayer = expected.snapshots.get("s3") ?? "";
      return null;
    },
  },
];

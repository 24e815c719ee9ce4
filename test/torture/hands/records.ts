import { readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { INSTANCE } from "../world.ts";
import { anyOf, byVirsh, type Deed, type Hand, type Interference, NOTHING, virsh } from "./hand.ts";

/** Where the private libvirtd keeps its records of snapshots. */
const recordFolder = ({ world }: Hand) => join(world.daemon.disk, "lib", "qemu", "snapshot", INSTANCE);

/** Does something to libvirt's files while it is not there. */
async function whileDead(hand: Hand, work: () => Promise<void>): Promise<void> {
  await hand.world.daemon.signal("SIGKILL");
  try {
    await work();
  } finally {
    await hand.world.daemon.start();
  }
}

async function cutOff(hand: Hand, part: number): Promise<Deed> {
  const name = anyOf([...hand.now.records.keys()], hand.random);
  if (name === undefined) {
    return NOTHING;
  }
  const file = join(recordFolder(hand), `${name}.xml`);
  const { size } = await stat(file);
  await whileDead(hand, () => truncate(file, Math.floor(size * part)));
  return { what: `the record of ${name} is cut off at ${part} of it, libvirtd is new`, done: true };
}

/** Files of strata's own, of which there may be none. */
async function notesIn(hand: Hand): Promise<string[]> {
  const { folder } = hand.place;
  const records = await readdir(join(folder, "records")).catch((): string[] => []);
  const own = ["journal.json", "released.json", "domain.xml"].map((file) => join(folder, file));
  const there = [];
  for (const path of [...own, ...records.map((file) => join(folder, "records", file))]) {
    if ((await stat(path).catch(() => undefined)) !== undefined) {
      there.push(path);
    }
  }
  return there;
}

/** Keeps copies of strata's small files, as a backup tool would. */
export async function keepNotes(hand: Hand): Promise<void> {
  for (const path of await notesIn(hand)) {
    const text = await readFile(path, "utf8").catch(() => "");
    if (!hand.notes.some((note) => note.path === path && note.text === text)) {
      hand.notes.push({ path, text });
    }
  }
}

const short = (hand: Hand, path: string) => path.slice(hand.place.folder.length + 1);

async function cutNote(hand: Hand, path: string | undefined): Promise<Deed> {
  if (path === undefined) {
    return NOTHING;
  }
  const text = await readFile(path, "utf8");
  const how = anyOf(["removed", "emptied", "cut off", "garbled"] as const, hand.random);
  if (how === "removed") {
    await rm(path);
  } else if (how === "emptied") {
    await writeFile(path, "");
  } else if (how === "cut off") {
    await truncate(path, Math.floor(text.length * hand.random()));
  } else {
    await writeFile(path, text.replaceAll(/["<>]/g, "~"));
  }
  return { what: `${short(hand, path)} is ${how}`, done: true };
}

/** Journals that no strata of today has written. */
const JOURNALS = [
  "",
  "{",
  "null",
  "[]",
  "{}",
  '{"version":99,"kind":"sing","song":"la"}',
  '{"version":1,"operation":{"kind":"sing","song":"la"}}',
  '{"version":1,"kind":"merge"}',
  '{"version":1,"operation":{"kind":"merge"}}',
  '{"version":1,"id":"x","operation":{"kind":"take","name":7}}',
];

export const RECORDS: readonly Interference[] = [
  { name: "an emptied record", work: (hand) => cutOff(hand, 0) },
  { name: "a cut record", work: (hand) => cutOff(hand, 0.5) },
  {
    name: "/etc without the records",
    async work(hand) {
      await whileDead(hand, () => rm(recordFolder(hand), { recursive: true, force: true }));
      return { what: "libvirtd starts without its snapshot folder", done: true };
    },
  },
  {
    name: "a record deleted by virsh",
    async work(hand) {
      const name = anyOf([...hand.now.records.keys()], hand.random);
      if (name === undefined) {
        return NOTHING;
      }
      const more = anyOf([[], [], ["--children"], ["--children-only"]], hand.random) ?? [];
      return byVirsh(hand, ["snapshot-delete", INSTANCE, name, "--metadata", ...more]);
    },
  },
  {
    name: "an older record",
    async work(hand) {
      const names = [...hand.now.records.keys()];
      const xml = anyOf(
        hand.records.filter((each) => names.some((name) => each.includes(`<name>${name}</name>`))),
        hand.random,
      );
      if (xml === undefined) {
        return NOTHING;
      }
      const file = join(hand.place.elsewhere, "record.xml");
      await writeFile(file, xml);
      const current = hand.random() < 0.3 ? ["--current"] : [];
      const { ok, out } = await virsh(hand, "snapshot-create", INSTANCE, file, "--redefine", ...current);
      const name = /<domainsnapshot>\s*<name>([^<]*)/.exec(xml)?.[1];
      return { what: `an older record of ${name} ${current.join("")}${ok ? "" : `: ${out}`}`, done: ok };
    },
  },
  {
    name: "another current mark",
    harmless: true,
    async work(hand) {
      const name = anyOf([...hand.now.records.keys()], hand.random);
      return name === undefined ? NOTHING : byVirsh(hand, ["snapshot-current", INSTANCE, name]);
    },
  },
  {
    name: "a journal that cannot be read",
    async work(hand) {
      const text = anyOf(JOURNALS, hand.random) ?? "";
      await writeFile(join(hand.place.folder, "journal.json"), text);
      return { what: `journal.json is ${text || "empty"}`, done: true, wrong: [[]] };
    },
  },
  {
    name: "a note of strata's cut",
    async work(hand) {
      const { random } = hand;
      const all = await notesIn(hand);
      const kind = anyOf(["released.json", "domain.xml", "records/"], random) ?? "";
      return cutNote(
        hand,
        anyOf(
          all.filter((path) => short(hand, path).startsWith(kind)),
          random,
        ) ?? anyOf(all, random),
      );
    },
  },
  {
    name: "a stale note of strata's",
    async work(hand) {
      const stale = anyOf(hand.notes, hand.random);
      if (stale === undefined) {
        return NOTHING;
      }
      await writeFile(stale.path, stale.text);
      return { what: `an older ${short(hand, stale.path)} is put back`, done: true };
    },
  },
  {
    name: "the folder of copies removed",
    async work(hand) {
      const folder = join(hand.place.folder, "records");
      if ((await stat(folder).catch(() => undefined)) === undefined) {
        return NOTHING;
      }
      await rm(folder, { recursive: true });
      return { what: "records/ is removed", done: true };
    },
  },
];

import { join } from "node:path";
import { INSTANCE } from "../world.ts";
import type { Contents } from "./contents.ts";
import { makeDisk } from "./definitions.ts";
import {
  anyOf,
  anyWrite,
  byVirsh,
  type Deed,
  guestWrites,
  type Hand,
  type Interference,
  NOTHING,
  running,
} from "./hand.ts";

const NO_SEED = ["--diskspec", "vdb,snapshot=no"];

/** A snapshot by virsh, of what the disk shows now. */
async function snapshot(
  hand: Hand,
  options: readonly string[],
  { live = false, disk = [] }: { readonly live?: boolean; readonly disk?: readonly string[] } = {},
): Promise<Deed> {
  const name = hand.fresh("v");
  if (live && !(await running(hand))) {
    return NOTHING;
  }
  const contents = hand.now.files.get(hand.now.live ?? hand.now.active)?.contents;
  const made = new Map<string, Contents>(contents == null ? [] : [[name, contents]]);
  // Without a word on the seed, libvirt takes it too: users do that.
  const seed = hand.random() < 0.8 ? NO_SEED : [];
  const root = disk.length === 0 ? [] : ["--diskspec", `vda,${disk.join(",")}`];
  return byVirsh(hand, ["snapshot-create-as", INSTANCE, name, ...options, ...root, ...seed], { made });
}

const elsewhere = (hand: Hand) => [
  "snapshot=external",
  `file=${join(hand.place.elsewhere, `${hand.fresh("overlay-")}.qcow2`)}`,
];

export const VERBS: readonly Interference[] = [
  { name: "virsh: internal snapshot, stopped or running", work: (hand) => snapshot(hand, []) },
  { name: "virsh: internal snapshot, running", work: (hand) => snapshot(hand, [], { live: true }) },
  { name: "virsh: external snapshot", harmless: true, work: (hand) => snapshot(hand, ["--disk-only"]) },
  {
    name: "virsh: external snapshot, running",
    work: (hand) => snapshot(hand, ["--disk-only"], { live: true }),
  },
  {
    name: "virsh: external snapshot without metadata",
    work: (hand) => snapshot(hand, ["--disk-only", "--no-metadata"], { live: true }),
  },
  {
    name: "virsh: external snapshot in another folder",
    work: (hand) => snapshot(hand, ["--disk-only"], { disk: elsewhere(hand), live: hand.random() < 0.3 }),
  },
  {
    name: "virsh: memory snapshot",
    work: (hand) =>
      snapshot(
        hand,
        ["--memspec", `file=${join(hand.place.elsewhere, hand.fresh("memory-"))},snapshot=external`],
        {
          live: true,
        },
      ),
  },
  {
    name: "virsh: snapshot-revert",
    async work(hand) {
      const name = anyOf([...hand.now.records.keys()], hand.random);
      if (name === undefined) {
        return NOTHING;
      }
      const how = anyOf([[], [], ["--running"], ["--force"]], hand.random) ?? [];
      return byVirsh(hand, ["snapshot-revert", INSTANCE, name, ...how]);
    },
  },
  {
    name: "virsh: snapshot-delete",
    async work(hand) {
      const name = anyOf([...hand.now.records.keys()], hand.random);
      if (name === undefined) {
        return NOTHING;
      }
      const how = anyOf([[], [], [], ["--children"], ["--children-only"]], hand.random) ?? [];
      const deleted = how.length === 0 ? [name] : [...hand.now.records.keys()];
      return byVirsh(hand, ["snapshot-delete", INSTANCE, name, ...how], { deleted });
    },
  },
  {
    name: "virsh: checkpoint",
    harmless: true,
    async work(hand) {
      if (!(await running(hand))) {
        return NOTHING;
      }
      const deed = await byVirsh(hand, [
        "checkpoint-create-as",
        INSTANCE,
        hand.fresh("check"),
        "--diskspec",
        "vdb,checkpoint=no",
      ]);
      if (hand.random() < 0.7) {
        await byVirsh(hand, ["destroy", INSTANCE]);
      }
      return deed;
    },
  },
  {
    name: "virsh: start",
    harmless: true,
    work: (hand) => byVirsh(hand, ["start", INSTANCE]),
  },
  {
    name: "virsh: destroy",
    harmless: true,
    work: (hand) =>
      hand.now.live === null ? Promise.resolve(NOTHING) : byVirsh(hand, ["destroy", INSTANCE]),
  },
  {
    name: "virsh: managedsave",
    async work(hand) {
      return (await running(hand)) ? byVirsh(hand, ["managedsave", INSTANCE]) : NOTHING;
    },
  },
  {
    name: "the guest writes",
    async work(hand) {
      if (!(await running(hand))) {
        return NOTHING;
      }
      const { offset, length, value } = anyWrite(hand.random);
      const done = await guestWrites(hand, offset, length, value);
      return { what: `the guest writes ${value} at ${offset}`, done };
    },
  },
];

export const DISKS: readonly Interference[] = [
  {
    name: "virsh: attach-disk",
    async work(hand) {
      const disk = join(hand.place.elsewhere, `${hand.fresh("disk-")}.qcow2`);
      await makeDisk(disk, hand.random);
      const options = ["--subdriver", "qcow2", hand.now.live === null ? "--config" : "--persistent"];
      return byVirsh(hand, ["attach-disk", INSTANCE, disk, "vdc", ...options]);
    },
  },
  {
    name: "virsh: detach-disk",
    async work(hand) {
      const disk = anyOf(["vdb", "vdc", "vda"], hand.random) ?? "vdc";
      return byVirsh(hand, ["detach-disk", INSTANCE, disk, "--config"]);
    },
  },
];

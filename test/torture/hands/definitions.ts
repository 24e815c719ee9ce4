import { join } from "node:path";
import { execa } from "execa";
import { INSTANCE } from "../world.ts";
import {
  anyOf,
  anyWrite,
  byVirsh,
  type Deed,
  define,
  type Hand,
  type Interference,
  layersOf,
  NOTHING,
  virsh,
} from "./hand.ts";
import { below } from "./observation.ts";

/** A qcow2 file with something of its own in it. */
export async function makeDisk(path: string, random: () => number, on?: string): Promise<void> {
  const backing = on === undefined ? [] : ["-b", on, "-F", "qcow2"];
  const size = on === undefined ? ["9M"] : [];
  await execa("qemu-img", ["create", "-q", "-f", "qcow2", ...backing, path, ...size]);
  const { offset, length, value } = anyWrite(random);
  await execa("qemu-io", ["-f", "qcow2", "-c", `write -P ${value} ${offset} ${length}`, path]);
}

/** The definition on another disk, as for a rescue. */
async function rescue(hand: Hand, path: string): Promise<Deed> {
  const { active, xml } = hand.now;
  if (active === "") {
    return NOTHING;
  }
  await makeDisk(path, hand.random);
  hand.outside.add(path);
  return define(hand, xml.replaceAll(active, path), `the disk is ${path} by the definition`);
}

/** What libvirt would have been shown at the time of a snapshot's record. */
function definitionsIn(hand: Hand): string[] {
  const recorded = [...hand.now.records.values()].flatMap(({ xml }) => {
    const domain = /<domain [\s\S]*<\/domain>/.exec(xml)?.[0];
    return domain === undefined ? [] : [domain];
  });
  return [...recorded, ...hand.definitions];
}

/** Without what was under way at the time. */
function quiet(xml: string): string {
  return xml
    .replaceAll(/<strata:operation\b[^<>]*\/>/g, "")
    .replaceAll(/<strata:snapshot\b[^<>]*?(?:\/>|>[^<]*<\/strata:snapshot>)/g, "");
}

async function explicitChain(hand: Hand, skip: boolean): Promise<Deed> {
  const { active, xml, files } = hand.now;
  const chain = [];
  for (let at = files.get(active); at !== undefined; ) {
    const next = below(hand.place, at);
    if (next === null) {
      break;
    }
    chain.push(next);
    at = files.get(next);
  }
  if (skip) {
    chain.splice(Math.floor(hand.random() * (chain.length - 1)), 1);
  }
  if (chain.length < 2) {
    return NOTHING;
  }
  const nested = chain.reduceRight(
    (inner, file) =>
      `<backingStore type="file"><format type="qcow2"/><source file="${file}"/>${inner}</backingStore>`,
    "<backingStore/>",
  );
  const own = `<source file='${active}'/>`;
  const plain = xml.replaceAll(/<backingStore\b[\s\S]*<\/backingStore>/g, "");
  return define(
    hand,
    plain.replace(own, `${own}${nested}`),
    `a chain in the definition, ${skip ? "wrong" : "right"}`,
  );
}

export const DEFINITIONS: readonly Interference[] = [
  {
    name: "a rescue disk elsewhere",
    work: (hand) => rescue(hand, join(hand.place.elsewhere, `${hand.fresh("rescue-")}.qcow2`)),
  },
  {
    name: "a rescue disk in the folder",
    work: (hand) => rescue(hand, join(hand.place.folder, `${hand.fresh("rescue-")}.qcow2`)),
  },
  {
    name: "an older definition",
    async work(hand) {
      const xml = anyOf(definitionsIn(hand), hand.random);
      if (xml === undefined) {
        return NOTHING;
      }
      const noted = hand.random() < 0.4;
      return define(hand, noted ? xml : quiet(xml), `an older definition${noted ? ", with its notes" : ""}`);
    },
  },
  {
    name: "our namespace on an ancestor",
    work(hand) {
      const on = hand.random() < 0.5 ? "<metadata" : "<domain";
      const own = ' xmlns:strata="urn:strata:1"';
      const named = hand.now.xml.replaceAll("'urn:strata:1'", '"urn:strata:1"');
      return define(hand, named.replace(own, "").replace(on, `${on}${own}`), `our namespace is on ${on}>`);
    },
  },
  { name: "the chain in the definition", work: (hand) => explicitChain(hand, false) },
  { name: "a wrong chain in the definition", work: (hand) => explicitChain(hand, true) },
  {
    name: "undefined and defined",
    async work(hand) {
      const options = ["--snapshots-metadata", "--checkpoints-metadata", "--managed-save", "--keep-nvram"];
      if (hand.now.live !== null) {
        await virsh(hand, "destroy", INSTANCE);
      }
      const { ok, out } = await virsh(hand, "undefine", INSTANCE, ...options);
      if (!ok) {
        return { what: `undefine: ${out}`, done: false };
      }
      return define(hand, hand.now.xml, "undefine --snapshots-metadata, and defined again");
    },
  },
  {
    name: "our metadata removed",
    async work(hand) {
      const deed = await byVirsh(hand, [
        "metadata",
        INSTANCE,
        "--uri",
        "urn:strata:1",
        "--remove",
        "--config",
      ]);
      return deed.done ? { ...deed, wrong: [[hand.place.id, INSTANCE]] } : deed;
    },
  },
  {
    name: "an operation in the metadata",
    async work(hand) {
      const what = anyOf(
        [
          '<strata:operation kind="sing" song="la"/>',
          '<strata:operation kind="merge"/>',
          '<strata:operation kind="take" name="x" taken="9"/>',
          '<strata:operation kind="restore" name="gone"/>',
          "<strata:operation/>",
        ],
        hand.random,
      );
      const xml = hand.now.xml.replace("</strata:instance>", `${what}</strata:instance>`);
      return xml === hand.now.xml ? NOTHING : define(hand, xml, `${what} in the metadata`);
    },
  },
  {
    name: "a stale take in the metadata",
    async work(hand) {
      const names = [...hand.now.records.keys()];
      const name = anyOf([...names, "gone"], hand.random) ?? "gone";
      const file = anyOf(layersOf(hand), hand.random) ?? "";
      const notes = [
        `<strata:operation kind="take" name="${name}" file="${file}" taken="9" parent=""/>`,
        `<strata:operation kind="restore" name="${name}" file="${file}" old="${hand.now.active}"/>`,
        `<strata:operation kind="delete" name="gone"/>`,
      ];
      const what = anyOf(notes, hand.random) ?? "";
      const xml = hand.now.xml.replace("</strata:instance>", `${what}</strata:instance>`);
      return xml === hand.now.xml
        ? NOTHING
        : define(hand, xml, `${what.replaceAll(`${hand.place.folder}/`, "")} in the metadata`);
    },
  },
];

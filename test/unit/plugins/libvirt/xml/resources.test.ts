import { expect } from "chai";
import { parse, serialize } from "../../../../../plugins/libvirt/xml/document.ts";
import {
  type CpusAndMemory,
  isTaken,
  readResources,
  setResources,
} from "../../../../../plugins/libvirt/xml/resources.ts";

const GIB = 1024n ** 3n;
const PLAIN =
  "<memory unit='GiB'>1</memory><currentMemory unit='GiB'>1</currentMemory><vcpu placement='static'>2</vcpu>";
const BALLOON = "<memory unit='GiB'>2</memory><currentMemory unit='GiB'>1</currentMemory>";
const HOT = "<vcpu current='2'>8</vcpu>";
const TOPOLOGY =
  "<vcpu current='2'>6</vcpu><cpu><topology sockets='1' dies='1' cores='3' threads='2'/></cpu>";
const NUMA =
  "<maxMemory slots='4' unit='GiB'>4</maxMemory><memory unit='GiB'>1</memory><vcpu>2</vcpu><cpu><numa><cell id='0' cpus='0-1' memory='1' unit='GiB'/></numa></cpu>";
const PINNED = "<vcpu cpuset='0-1'>4</vcpu><cputune><vcpupin vcpu='3' cpuset='1'/></cputune>";

/** What a definition says after a change, or why it cannot be changed. */
async function changed(definition: string, change: Partial<CpusAndMemory>): Promise<string> {
  const document = await parse(`<domain>${definition}</domain>`);
  const before = serialize(document);
  const obstacle = setResources(document, change);
  if (obstacle === undefined) {
    return serialize(document).replaceAll('"', "'");
  }
  expect(serialize(document), "after a refusal").to.equal(before);
  return obstacle;
}

describe("CPUs and memory of a definition", () => {
  it("are what the guest starts with", async () => {
    expect(readResources(await parse(`<domain>${BALLOON}${HOT}</domain>`))).to.deep.equal({
      cpus: 2,
      memory: GIB,
    });
  });

  const cases: readonly (readonly [string, string, Partial<CpusAndMemory>, readonly string[]])[] = [
    [
      "set both",
      PLAIN,
      { cpus: 3, memory: 2n * GIB },
      [
        "<vcpu placement='static'>3</vcpu>",
        `<memory unit='b'>${2n * GIB}</memory>`,
        `<currentMemory unit='b'>${2n * GIB}</currentMemory>`,
      ],
    ],
    [
      "leave memory to be given back when CPUs are set",
      BALLOON + HOT,
      { cpus: 3 },
      [
        "<vcpu current='3'>8</vcpu>",
        "<memory unit='GiB'>2</memory><currentMemory unit='GiB'>1</currentMemory>",
      ],
    ],
    [
      "leave the most of memory while less is set",
      BALLOON + HOT,
      { memory: GIB + GIB / 2n },
      [
        "<vcpu current='2'>8</vcpu>",
        "<memory unit='GiB'>2</memory>",
        `<currentMemory unit='b'>${GIB + GIB / 2n}</currentMemory>`,
      ],
    ],
    [
      "raise the most where more is set",
      BALLOON + HOT,
      { cpus: 9, memory: 3n * GIB },
      [
        "<vcpu>9</vcpu>",
        `<memory unit='b'>${3n * GIB}</memory>`,
        `<currentMemory unit='b'>${3n * GIB}</currentMemory>`,
      ],
    ],
    [
      "set CPUs within the topology",
      PLAIN.replace(/<vcpu.*/, "") + TOPOLOGY,
      { cpus: 6 },
      ["<vcpu>6</vcpu>", "cores='3'"],
    ],
    [
      "refuse CPUs beyond the topology",
      PLAIN.replace(/<vcpu.*/, "") + TOPOLOGY,
      { cpus: 8 },
      ["1 × 3 × 2", "virsh edit"],
    ],
    [
      "set memory beside a topology",
      PLAIN.replace(/<vcpu.*/, "") + TOPOLOGY,
      { memory: 2n * GIB },
      ["<vcpu current='2'>6</vcpu>", `<memory unit='b'>${2n * GIB}</memory>`],
    ],
    ["refuse memory of NUMA nodes", NUMA, { memory: 2n * GIB }, ["NUMA nodes", "1.0GiB"]],
    ["refuse CPUs that no NUMA node has", NUMA, { cpus: 4 }, ["NUMA nodes", "2 CPUs"]],
    ["use fewer CPUs of NUMA nodes", NUMA, { cpus: 1 }, ["<vcpu current='1'>2</vcpu>", "cpus='0-1'"]],
    [
      "keep what is pinned",
      PINNED,
      { cpus: 2 },
      ["<vcpu cpuset='0-1' current='2'>4</vcpu>", "<vcpupin vcpu='3' cpuset='1'/>"],
    ],
    [
      "have more than are pinned",
      PINNED,
      { cpus: 6 },
      ["<vcpu cpuset='0-1'>6</vcpu>", "<vcpupin vcpu='3' cpuset='1'/>"],
    ],
    [
      "refuse CPUs that are listed",
      "<vcpu>2</vcpu><vcpus><vcpu id='0' enabled='yes'/></vcpus>",
      { cpus: 1 },
      ["one by one"],
    ],
    [
      "refuse memory in devices",
      "<memory unit='GiB'>1</memory><devices><memory model='dimm'/></devices>",
      { memory: 2n * GIB },
      ["devices of their own"],
    ],
    [
      "refuse memory beyond what may be plugged in",
      "<maxMemory unit='GiB'>2</maxMemory><memory unit='GiB'>1</memory>",
      { memory: 3n * GIB },
      ["maxMemory", "2.0GiB"],
    ],
    [
      "refuse memory beyond a hard limit",
      "<memory unit='GiB'>1</memory><memtune><hard_limit unit='GiB'>2</hard_limit></memtune>",
      { memory: 3n * GIB },
      ["hard limit"],
    ],
    [
      "stay as they are where nothing is to change",
      NUMA,
      { cpus: 2, memory: GIB },
      ["<memory unit='GiB'>1</memory><vcpu>2</vcpu>"],
    ],
  ];
  for (const [what, definition, change, expected] of cases) {
    it(what, async () => {
      const found = await changed(definition, change);
      for (const each of expected) {
        expect(found).to.contain(each);
      }
    });
  }

  it("are taken where libvirt rounds memory up a little, and not where it is something else", async () => {
    const document = await parse("<domain><memory unit='MiB'>1025</memory><vcpu>2</vcpu></domain>");
    expect(isTaken(document, { memory: GIB + 1n })).to.equal(true);
    expect(isTaken(document, { memory: GIB - 2n * 1024n ** 2n })).to.equal(false);
    expect(isTaken(document, { memory: 2n * GIB })).to.equal(false);
    expect(isTaken(document, { cpus: 3 })).to.equal(false);
    expect(isTaken(document, { cpus: 2 })).to.equal(true);
  });
});

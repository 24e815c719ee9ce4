import { rm } from "node:fs/promises";
import { expect } from "chai";
import { context, lockOf } from "../../../lib/engine/conformance/fixture.ts";
import type { Instance, ResourceChange } from "../../../lib/engine/contract.ts";
import { Client } from "../../../plugins/libvirt/rpc/client.ts";
import { codeOf, type LibvirtFixture, libvirtFixture, whileLocked } from "../../support/libvirt/fixture.ts";
import { type ForeignDomain, foreignDomain, foreignRecord } from "../../support/libvirt/foreign-domain.ts";
import { virsh } from "../../support/libvirt/virsh.ts";

const MIB = 1024n ** 2n;
const GIB = 1024n ** 3n;
const MEMORY = "<memory unit='MiB'>128</memory>";
const HOT =
  "<memory unit='GiB'>2</memory><currentMemory unit='GiB'>1</currentMemory><vcpu current='2'>6</vcpu>";

describe("CPUs and memory of a domain that somebody has defined with care", () => {
  let fixture: LibvirtFixture;
  let foreign: ForeignDomain;
  let instance: Instance;
  before(async () => {
    fixture = await libvirtFixture();
  });
  after(() => fixture[Symbol.asyncDispose]());
  beforeEach(async () => {
    foreign = await foreignDomain(fixture.connection, fixture.folder);
  });
  afterEach(async () => {
    const { folder } = await fixture.layers(instance);
    await foreign[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  /** Adopts the domain with that in place of its CPUs and memory. */
  async function adopt(definition: string): Promise<void> {
    const { adoption } = fixture.engine;
    const xml = await virsh("dumpxml", "--inactive", foreign.name);
    const ownCpu = definition.includes("<cpu ");
    const bare = (ownCpu ? xml.replace(/<cpu .*<\/cpu>/s, "") : xml).replace(
      /<memory .*<\/vcpu>/s,
      definition,
    );
    await fixture.connection.defineDomain(bare);
    if (adoption === undefined) {
      throw new Error("libvirt adopts");
    }
    instance = await adoption.adopt(foreign.name, foreignRecord(), context());
  }

  const resize = (change: ResourceChange) =>
    whileLocked(fixture, instance, () =>
      fixture.engine.instances.resize(lockOf(instance.id), change, context()),
    );
  const definition = async () =>
    (await virsh("dumpxml", "--inactive", foreign.name)).replace(/<devices>.*/s, "").replace(/>\s+</g, "><");
  const resources = async () => (await fixture.engine.instances.find(foreign.name))?.resources;

  it("stay when the disk grows", async () => {
    await adopt(HOT);
    const before = await definition();
    await resize({ disk: 32n * MIB });
    expect(await definition()).to.equal(before);
    expect(await resources()).to.deep.equal({ cpus: 2, memory: GIB, disk: 32n * MIB });
  });

  it("change alone, and leave what could be plugged in or given back", async () => {
    await adopt(HOT);
    await resize({ cpus: 3 });
    expect(await definition())
      .to.contain("current='3'>6</vcpu>")
      .and.to.contain(">1048576</currentMemory>");
    await resize({ memory: 1536n * MIB });
    expect(await definition())
      .to.contain("current='3'>6</vcpu>")
      .and.to.contain(">2097152</memory>")
      .and.to.contain(">1572864</currentMemory>");
  });

  it("are refused with the reason where a topology or NUMA nodes would have to change", async () => {
    await adopt(
      "<memory unit='GiB'>1</memory><vcpu>2</vcpu><cpu mode='maximum'><numa><cell id='0' cpus='0-1' memory='1' unit='GiB'/></numa></cpu>",
    );
    const before = await definition();
    expect(await codeOf(resize({ memory: 2n * GIB }))).to.equal("UNSUPPORTED");
    expect(await codeOf(resize({ cpus: 4 }))).to.equal("UNSUPPORTED");
    // All or nothing.
    expect(await codeOf(resize({ cpus: 4, disk: 32n * MIB }))).to.equal("UNSUPPORTED");
    expect(await definition()).to.equal(before);
    expect((await resources())?.disk).to.equal(16n * MIB);
  });

  it("keep CPUs that are pinned", async () => {
    await adopt(`${MEMORY}<vcpu cpuset='0-1'>4</vcpu><cputune><vcpupin vcpu='3' cpuset='1'/></cputune>`);
    await resize({ cpus: 2 });
    expect(await definition())
      .to.contain("<vcpupin vcpu='3' cpuset='1'/>")
      .and.to.contain("current='2'>4</vcpu>");
    expect((await resources())?.cpus).to.equal(2);
  });

  it("are not said to have changed where libvirt makes something else of them", async () => {
    await adopt(`${MEMORY}<vcpu>2</vcpu>`);
    // As a correction of libvirt's that this version does not know.
    const before = await definition();
    await whileLocked(fixture, instance, async () => {
      const { call } = Client.prototype;
      let defined = 0;
      Client.prototype.call = function (this: typeof Client.prototype, procedure, args, ...rest) {
        const { xml } = (args ?? {}) as { xml?: string };
        const odd = xml?.includes(">3</vcpu>") === true && ++defined === 1;
        const given = odd ? { ...args, xml: xml.replace(">3</vcpu>", ">2</vcpu>") } : args;
        return call.call(this, procedure, given, ...rest);
      } as typeof call;
      try {
        const { instances } = fixture.engine;
        expect(await codeOf(instances.resize(lockOf(instance.id), { cpus: 3 }, context()))).to.equal(
          "UNSUPPORTED",
        );
        expect(defined).to.equal(1);
      } finally {
        Client.prototype.call = call;
      }
    });
    expect(await definition()).to.equal(before);
  });
});

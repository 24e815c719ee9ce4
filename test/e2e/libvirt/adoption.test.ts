import { readFile, symlink, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { cloneSpec } from "../../../lib/engine/conformance/clone.ts";
import { context, locked, lockOf, take } from "../../../lib/engine/conformance/fixture.ts";
import type { Instance } from "../../../lib/engine/contract.ts";
import { RECORD_VERSION } from "../../../lib/engine/contract.ts";
import { isStrataError } from "../../../lib/errors.ts";
import { openEngine, readManaged, writeMetadata } from "../../../plugins/libvirt/engine.ts";
import { type LibvirtFixture, libvirtFixture, silent } from "../../support/libvirt/fixture.ts";
import { type ForeignDomain, foreignDomain } from "../../support/libvirt/foreign-domain.ts";
import { dropSnapshot } from "../../support/snapshots.ts";

const RECORD: Instance["record"] = {
  version: RECORD_VERSION,
  image: { sha256: "", release: "", os: "" },
  username: "",
  deleted: false,
  snapshotsTaken: 0,
  cloudInstanceId: "",
  createdAt: 0,
};

describe("a domain that strata did not make", () => {
  let fixture: LibvirtFixture;
  before(async () => {
    fixture = await libvirtFixture();
  });
  after(() => fixture[Symbol.asyncDispose]());

  async function adopt({ name }: { name: string }): Promise<Instance> {
    const { adoption } = fixture.engine;
    if (adoption === undefined) {
      throw new Error("libvirt adopts");
    }
    return adoption.adopt(name, RECORD, context());
  }

  async function refusal(work: Promise<unknown>): Promise<string> {
    return work.then(
      () => "nothing was refused",
      (error: unknown) => (isStrataError(error) ? `${error.code}: ${error.message}` : String(error)),
    );
  }

  /** A second disk. */
  const disk = (file: string) =>
    `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${file}'/><target dev='sdc' bus='sata'/></disk>`;

  const xmlOf = ({ name }: { name: string }) =>
    execa("virsh", ["dumpxml", name]).then(({ stdout }) => stdout);

  /** Has a domain name its disk so. */
  const setPath = async (foreign: ForeignDomain, path: string) =>
    fixture.connection.defineDomain(
      (await xmlOf(foreign)).replace(/<source file='[^']*'/, `<source file='${path}'`),
    );

  /** Runs a callback on an adopted domain that has written since its first snapshot, all of them deleted. `path` is how it names its disk. */
  async function withWritten(
    work: (foreign: ForeignDomain, instance: Instance, contents: string) => Promise<void>,
    path = (disk: string) => disk,
  ): Promise<void> {
    await using foreign = await foreignDomain(fixture.connection, fixture.folder);
    await setPath(foreign, path(foreign.disk));
    const instance = await adopt(foreign);
    await using _lock = await locked(fixture, instance);
    await take(fixture, instance, "one");
    await fixture.write(instance, 7);
    await dropSnapshot(fixture, instance, "one");
    await work(foreign, instance, await fixture.read(instance));
  }

  it("keeps its firmware variables when it is removed for good", async () => {
    const variables = join(fixture.folder, "variables.fd");
    await writeFile(variables, "precious");
    const firmware = `<loader readonly='yes' type='pflash'>/usr/share/firmware.fd</loader><nvram>${variables}</nvram>`;
    await using foreign = await foreignDomain(fixture.connection, fixture.folder, { firmware });
    const instance = await adopt(foreign);
    await using _lock = await locked(fixture, instance);
    expect(await xmlOf(foreign)).to.contain(variables);
    await fixture.engine.instances.remove(lockOf(instance.id), context());
    expect(await fixture.engine.instances.find(foreign.name)).to.equal(null);
    expect(await readFile(variables, "utf8")).to.equal("precious");
  });

  it("is cloned with all that it holds, to what is strata's own", async () => {
    await withWritten(async (foreign, { id, name }, contents) => {
      const { instances, snapshots } = fixture.engine;
      const copy = await instances.clone?.(lockOf(id), cloneSpec({ name, record: RECORD }), context());
      if (copy === undefined) {
        throw new Error("libvirt clones");
      }
      await using _lock = await locked(fixture, copy);
      expect(await fixture.read(copy)).to.equal(contents);
      await take(fixture, copy, "one");
      await fixture.write(copy, 9);
      await snapshots.restore(lockOf(copy.id), "one", context());
      expect(await fixture.read(copy)).to.equal(contents);
      const before = await foreign.digest();
      await instances.remove(lockOf(copy.id), context());
      expect(await foreign.digest()).to.equal(before);
    });
  });

  it("is given back as it was, but for what was written to its disk", async () => {
    await withWritten(async (foreign, { id }, contents) => {
      const { adoption } = fixture.engine;
      expect(await xmlOf(foreign))
        .to.contain("urn:strata:1")
        .and.not.contain(`<source file='${foreign.disk}'`);
      await adoption?.release(lockOf(id), context());
      const xml = await xmlOf(foreign);
      expect(xml).to.contain(`<source file='${foreign.disk}'`).and.not.contain("urn:strata:1");
      expect(await fixture.read(await adopt(foreign))).to.equal(contents);
    });
  });

  it("is let go by the next who comes, when the one who began has died", async () => {
    await withWritten(async (foreign, { id }, contents) => {
      await using engine = await openEngine({ settings: {}, dataFolder: fixture.folder, log: silent });
      const managed = await readManaged(engine.connection.domainOfUuid(id));
      if (managed === undefined) {
        throw new Error("it is not adopted");
      }
      await writeMetadata(managed, { operation: { kind: "release" } });
      const next = fixture.engine.instances.resize(lockOf(id), { cpus: 2 }, context());
      expect(await refusal(next)).to.match(/^INSTANCE_NOT_FOUND/);
      expect(await xmlOf(foreign))
        .to.contain(`<source file='${foreign.disk}'`)
        .and.not.contain("urn:strata:1");
      expect(await fixture.read(await adopt(foreign))).to.equal(contents);
    });
  });

  it("is kept while another domain stands on its disk, which must not change under it", async () => {
    await withWritten(async (foreign, { id }) => {
      const overlay = `${foreign.disk}.overlay`;
      await execa("qemu-img", ["create", "-q", "-f", "qcow2", "-b", foreign.disk, "-F", "qcow2", overlay]);
      const link = `${foreign.disk}.link`;
      await symlink(foreign.disk, link);
      const named = `${foreign.disk}.named`;
      const options = { driver: "qcow2", file: { driver: "file", filename: foreign.disk } };
      const name = `json:${JSON.stringify(options)}`;
      await execa("qemu-img", ["create", "-q", "-f", "qcow2", "-b", name, "-F", "qcow2", named]);
      for (const file of [overlay, link, named]) {
        await using other = await foreignDomain(fixture.connection, fixture.folder, { devices: disk(file) });
        const before = await foreign.digest();
        const release = fixture.engine.adoption?.release(lockOf(id), context()) ?? Promise.resolve();
        expect(await refusal(release)).to.contain(`would change under the domain ${other.name}`);
        expect(await foreign.digest()).to.equal(before);
        expect(await xmlOf(foreign)).to.contain("urn:strata:1");
      }
    });
  });

  it("is refused while another domain uses its disk, under whatever name", async () => {
    await using foreign = await foreignDomain(fixture.connection, fixture.folder);
    const link = `${foreign.disk}.link`;
    await symlink(foreign.disk, link);
    for (const file of [foreign.disk, link]) {
      await using other = await foreignDomain(fixture.connection, fixture.folder, { devices: disk(file) });
      expect(await refusal(adopt(foreign)))
        .to.match(/^UNSUPPORTED/)
        .and.contain(`its disk sdb is also used by the domain ${other.name}`);
      const offered = await fixture.engine.adoption?.candidates();
      expect(offered?.find(({ name }) => name === foreign.name)?.obstacle).to.contain(other.name);
    }
    expect(await refusal(adopt(foreign))).to.equal("nothing was refused");
  });

  it("is refused while another domain has its disk as a volume, whether its pool is active or not", async () => {
    const { connection, folder } = fixture;
    await using foreign = await foreignDomain(connection, folder);
    const name = `adoption-${process.pid}`;
    const pool = await connection.defineStoragePool(
      `<pool type='dir'><name>${name}</name><target><path>${folder}</path></target></pool>`,
    );
    try {
      const source = `<source pool='${name}' volume='${basename(foreign.disk)}'/>`;
      const devices = `<disk type='volume' device='disk'>${source}<target dev='sdc' bus='sata'/></disk>`;
      await using other = await foreignDomain(connection, folder, { devices });
      expect(await refusal(adopt(foreign)), "inactive").to.contain(`used by the domain ${other.name}`);
      await pool.create();
      expect(await refusal(adopt(foreign)), "active").to.contain(`used by the domain ${other.name}`);
      await pool.destroy();
    } finally {
      await pool.undefine();
    }
    expect(await refusal(adopt(foreign))).to.equal("nothing was refused");
  });

  it("is refused while it names its disk in a roundabout way", async () => {
    await using foreign = await foreignDomain(fixture.connection, fixture.folder);
    const { folder } = fixture;
    for (const way of [`${folder}//`, `${folder}/./`, `${folder}/../${basename(folder)}/`]) {
      await setPath(foreign, `${way}${basename(foreign.disk)}`);
      expect(await refusal(adopt(foreign))).to.contain(`must be named by its plain path, ${foreign.disk}`);
    }
  });

  it("is given back on the link by which it named its disk", async () => {
    const link = join(fixture.folder, "link");
    await symlink(fixture.folder, link);
    const path = (disk: string) => join(link, basename(disk));
    await withWritten(async (foreign, { id }, contents) => {
      await fixture.engine.adoption?.release(lockOf(id), context());
      expect(await xmlOf(foreign)).to.contain(`<source file='${path(foreign.disk)}'`);
      expect(await fixture.read(await adopt(foreign))).to.equal(contents);
    }, path);
  });

  it("is refused, with the reason, where snapshots would not hold all of it or could not be taken", async () => {
    const cases: readonly [Parameters<typeof foreignDomain>[2], RegExp][] = [
      [
        { format: "vmdk" },
        /its disk sdb must be qcow2 or raw, and is vmdk: `qemu-img convert -f vmdk -O qcow2 [^`]* NEW`/,
      ],
      [
        { devices: disk("/nowhere/b.qcow2") },
        /its disk sdc cannot be read: .*; `--exclude sdc` leaves it out/,
      ],
    ];
    for (const [options, reason] of cases) {
      await using foreign = await foreignDomain(fixture.connection, fixture.folder, options);
      const before = await xmlOf(foreign);
      expect(await refusal(adopt(foreign)))
        .to.match(/^UNSUPPORTED/)
        .and.match(reason);
      const offered = await fixture.engine.adoption?.candidates();
      expect(offered?.find(({ name }) => name === foreign.name)?.obstacle).to.match(reason);
      expect(await xmlOf(foreign)).to.equal(before);
    }
  });

  it("is refused when it has snapshots already", async () => {
    await using plain = await foreignDomain(fixture.connection, fixture.folder);
    const overlay = `file=${plain.disk}.snap,snapshot=external`;
    const args = ["--disk-only", "--diskspec", `sdb,${overlay}`, "--diskspec", "sda,snapshot=no"];
    await execa("virsh", ["snapshot-create-as", plain.name, "theirs", ...args]);
    expect(await refusal(adopt(plain))).to.contain("it has snapshots that strata did not take");
  });
});

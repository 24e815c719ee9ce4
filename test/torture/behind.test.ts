import { existsSync } from "node:fs";
import { chmod, copyFile, mkdir, readdir, symlink, truncate, unlink, utimes } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { context } from "../../lib/engine/conformance/fixture.ts";
import type { Engine, Finding } from "../../lib/engine/contract.ts";
import { lockFile } from "../../lib/util/file-lock.ts";
import { findInInstance } from "../../plugins/libvirt/audit/instance.ts";
import { getManaged, openEngine } from "../../plugins/libvirt/engine.ts";
import libvirt from "../../plugins/libvirt/index.ts";
import { readHeader } from "../../plugins/libvirt/qcow2/header.ts";
import { parse } from "../../plugins/libvirt/xml/document.ts";
import { readSnapshot } from "../../plugins/libvirt/xml/snapshot.ts";
import { codeOf, silent } from "../support/libvirt/fixture.ts";
import { PROGRAM, strata } from "../support/program.ts";
import { perform } from "./verb.ts";
import { INSTANCE, openWorld, type State, type World } from "./world.ts";

describe("what others change behind our back", () => {
  let world: World;
  let untouched: State;
  before(async () => {
    world = await openWorld();
    untouched = await world.observe();
  });
  after(() => world[Symbol.asyncDispose]());
  afterEach(() => world.reset());

  const virsh = (...args: readonly string[]) => execa("virsh", ["-q", "-c", world.daemon.uri, ...args]);

  async function theInstance(): Promise<{ id: string }> {
    return { id: (await world.fixture.connection.lookupDomainByName(INSTANCE)).uuid };
  }

  async function folder(): Promise<string> {
    return (await world.fixture.layers(await theInstance())).folder;
  }

  async function frozen(name: string): Promise<string> {
    const domain = await world.fixture.connection.lookupDomainByName(INSTANCE);
    const snapshot = await domain.lookupSnapshot(name);
    return readSnapshot(await parse(await snapshot.getXml())).frozen[0] ?? "";
  }

  async function find(engine: Engine = world.fixture.engine): Promise<readonly Finding[]> {
    return (await engine.maintenance?.audit()) ?? [];
  }

  const repair = async (finding: Finding, choice?: string) =>
    world.fixture.engine.maintenance?.repair(finding, context(), choice);

  /** Asks for every repair that there is; resolves to the files that are gone since. */
  async function repairAll(at: string): Promise<string[]> {
    const files = await readdir(at);
    for (const finding of await find()) {
      await repair(finding);
    }
    const left = await readdir(at);
    return files.filter((file) => !left.includes(file));
  }

  const kinds = (findings: readonly Finding[]) => findings.map(({ kind }) => kind);

  it("a snapshot deleted with --metadata is told as lost, and put back as it was", async () => {
    await virsh("snapshot-delete", INSTANCE, "b", "--metadata");
    // libvirt has written the records of the descendants anew, as if it had merged.
    expect((await find()).map(({ kind, subject }) => [kind, subject])).to.deep.equal([
      ["record-lost", "b"],
      ["layer-misplaced", "c"],
      ["record-rewritten", "c"],
    ]);
    expect(await repairAll(await folder())).to.deep.equal([]);
    expect(await find()).to.deep.equal([]);
    expect(await world.observe()).to.deep.equal(untouched);
  });

  it("a snapshot deleted with --metadata is merged away where that was meant, the others keep their contents", async () => {
    const layer = await frozen("b");
    await virsh("snapshot-delete", INSTANCE, "b", "--metadata");
    const [lost] = await find();
    if (lost === undefined) {
      throw new Error("nothing was found");
    }
    expect(await repair(lost, "remove")).to.equal(true);
    await repairAll(await folder());
    expect(await find()).to.deep.equal([]);
    expect(existsSync(layer)).to.equal(false);
    // With all that is looked at there: libvirt's own tools would restore the right file too.
    await world.observe();
    const contents = async (name: string) => {
      await perform(world.fixture.engine, { kind: "restore", on: INSTANCE, name });
      const [now] = (await world.fixture.engine.instances.list()).filter((each) => each.name === INSTANCE);
      return now === undefined ? "" : world.fixture.read(now);
    };
    const merged = [await contents("c"), await contents("x")];
    await world.reset();
    expect([await contents("c"), await contents("x")]).to.deep.equal(merged);
  });

  it("doctor tells it to machines and to people, shows what it would do, and does it when it may", async () => {
    await virsh("snapshot-delete", INSTANCE, "b", "--metadata");
    const { activeLayer } = await world.fixture.layers(await theInstance());
    await chmod(activeLayer, 0o644);
    const env = { STRATA_LIBVIRT_URI: world.daemon.uri };
    const doctor = (...args: string[]) => strata(["doctor", ...args], { env });
    const read = (text: string) => JSON.parse(text) as Record<"findings" | "repaired", { kind: string }[]>;
    const wrong = ["record-lost", "layer-misplaced", "record-rewritten", "file-accessible"];
    const found = await doctor("--format", "json");
    expect(found.code).to.equal(1);
    expect(read(found.stdout).findings.map(({ kind }) => kind)).to.deep.equal(wrong);
    const before = await find();

    const unasked = await doctor("--repair", "--format", "json");
    expect([unasked.code, unasked.stdout]).to.deep.equal([2, ""]);
    const command = `${process.execPath} ${PROGRAM} doctor --repair`;
    const refused = await execa("script", ["-qec", command, "/dev/null"], {
      input: "no\n",
      reject: false,
      env,
    });
    expect(refused.exitCode).to.equal(1);
    expect(refused.stdout).to.contain("To be repaired:").and.to.contain("Do this?");
    for (const { repair } of before) {
      expect(refused.stdout).to.contain(`-> ${repair}`);
    }
    expect(await find()).to.deep.equal(before);

    const repaired = await doctor("--repair", "--yes", "--format", "json");
    expect(repaired.code).to.equal(0);
    // Its child stands on it again once the snapshot is back.
    const done = wrong.filter((kind) => kind !== "layer-misplaced");
    expect(read(repaired.stdout).repaired.map(({ kind }) => kind)).to.deep.equal(done);
    expect(read(repaired.stdout).findings).to.deep.equal([]);
    expect((await doctor()).code).to.equal(0);
    await world.observe();
  });

  it("a snapshot taken with virsh is one of the tree", async () => {
    const disks = ["--diskspec", "vdb,snapshot=no"];
    await virsh("snapshot-create-as", INSTANCE, "foreign", "--disk-only", "--atomic", ...disks);
    const domain = await world.fixture.connection.lookupDomainByName(INSTANCE);
    const { snapshots, standsOn } = await world.fixture.engine.snapshots.tree(domain.uuid);
    expect(snapshots.map(({ name }) => name)).to.include("foreign");
    expect(standsOn).to.equal("foreign");
    expect(await find()).to.deep.equal([]);
    const { activeLayer } = await world.fixture.layers({ id: domain.uuid });
    await perform(world.fixture.engine, { kind: "restore", on: INSTANCE, name: "foreign" });
    // virsh's overlay was the disk that the restore let go.
    expect(await find()).to.deep.equal([]);
    await perform(world.fixture.engine, { kind: "stop", on: INSTANCE, grace: "force" });
    expect(existsSync(activeLayer)).to.equal(false);
  });

  it("another name: the instance goes by it, with all it has", async () => {
    await virsh("domrename", INSTANCE, "other");
    const [now] = await world.observe();
    expect(now).to.deep.equal({ ...untouched[0], name: "other" });
    await perform(world.fixture.engine, { kind: "delete", on: "other", name: "b" });
    expect(await find()).to.deep.equal([]);
    await virsh("domrename", "other", INSTANCE);
  });

  it("a domain undefined: its disks are named and kept", async () => {
    const at = await folder();
    await virsh("undefine", INSTANCE, "--snapshots-metadata");
    expect(kinds(await find())).to.deep.equal(["domain-lost"]);
    expect(await repairAll(at)).to.deep.equal([]);
  });

  it("our metadata removed: the domain is named, its disks are kept", async () => {
    const at = await folder();
    await virsh("metadata", INSTANCE, "--uri", "urn:strata:1", "--remove", "--config");
    expect(kinds(await find())).to.deep.equal(["metadata-lost"]);
    expect(await repairAll(at)).to.deep.equal([]);
  });

  it("the definition on another disk: the layer with data that it leaves is named and kept", async () => {
    const domain = await world.fixture.connection.lookupDomainByName(INSTANCE);
    const { activeLayer } = await world.fixture.layers({ id: domain.uuid });
    const foreign = join(world.daemon.folder, "foreign.qcow2");
    await execa("qemu-img", ["create", "-q", "-f", "qcow2", foreign, "9M"]);
    await world.fixture.connection.defineDomain((await domain.getXml(2)).replace(activeLayer, foreign));
    expect(kinds(await find())).to.include("layer-orphaned");
    expect(await repairAll(await folder())).to.deep.equal([]);
  });

  it("a layer deleted: it is named with who needs it, and nothing else is touched", async () => {
    const at = await folder();
    const layer = await frozen("b");
    await unlink(layer);
    const findings = await find();
    expect(kinds(findings)).to.deep.equal(["layer-missing"]);
    expect(findings[0]?.subject).to.equal(layer);
    expect(await repairAll(at)).to.deep.equal([]);
  });

  it("a layer cut off: it is named", async () => {
    const layer = await frozen("c");
    await truncate(layer, 60);
    expect((await find()).map(({ kind, subject }) => [kind, subject])).to.deep.equal([
      ["layer-unreadable", layer],
    ]);
    expect(await repairAll(await folder())).to.deep.equal([]);
  });

  it("a layer replaced by another: the snapshot is named", async () => {
    await copyFile(await frozen("m2"), await frozen("c"));
    const findings = await find();
    expect(findings.map(({ kind, subject }) => [kind, subject])).to.deep.equal([["layer-misplaced", "c"]]);
    expect(await repairAll(await folder())).to.deep.equal([]);
  });

  it("a folder that cannot be listed: it is named, and base images stay, which its layers may stand on", async () => {
    const pool = world.daemon.pool;
    const closed = join(pool, "instances", "4d7f5a3e-0000-4000-8000-000000000000");
    // Root may list any folder, and nobody a link to itself.
    await symlink(closed, closed);
    const images = await readdir(join(pool, "images"));
    expect(images).to.have.length(1);
    await perform(world.fixture.engine, { kind: "purge", on: INSTANCE });
    expect((await find()).map(({ kind, subject }) => [kind, subject])).to.deep.equal([
      ["unreadable", closed],
    ]);
    expect(await repairAll(join(pool, "images"))).to.deep.equal([]);
    await unlink(closed);
    expect(kinds(await find())).to.deep.equal(["base-unused"]);
    expect(await repairAll(join(pool, "images"))).to.deep.equal(images);
  });

  it("a folder of a launch that has no domain yet: it stays while its maker holds it", async () => {
    const made = join(world.daemon.pool, "instances", "4d7f5a3e-0000-4000-8000-000000000000");
    await mkdir(made);
    const abandoned = { kind: "folder-abandoned", subject: made, detail: "", repair: "remove it" };
    const repair = () => world.fixture.engine.maintenance?.repair(abandoned, context());
    {
      await using _lock = await lockFile(join(made, "lock"), { name: "it", wait: 0 });
      expect(await find()).to.deep.equal([]);
      expect(await repair()).to.equal(false);
      expect(await readdir(made)).to.deep.equal(["lock"]);
    }
    expect(kinds(await find())).to.deep.equal(["folder-abandoned"]);
    expect(await repair()).to.equal(true);
    expect(await find()).to.deep.equal([]);
  });

  it("an instance gone while it is looked at, or one of its files: nothing is told of what is not there", async () => {
    const { settings } = world;
    await using engine = await openEngine({ settings, dataFolder: "/nonexistent", log: silent });
    const { id } = await theInstance();
    const managed = await getManaged(engine, id);
    // As a file that goes between the list of the folder and the look at it.
    const gone = join(await folder(), "build-4d7f5a3e-0000-4000-8000-000000000000.qcow2");
    await symlink("/nonexistent", gone);
    expect((await findInInstance(engine, managed)).map(({ kind }) => kind)).to.deep.equal(["build-left"]);
    await unlink(gone);
    await virsh("undefine", INSTANCE, "--snapshots-metadata");
    expect(await findInInstance(engine, managed)).to.deep.equal([]);
  });

  it("a layer deleted under a guest that writes: whoever asks is not kept waiting, and doctor names it", async () => {
    await perform(world.fixture.engine, { kind: "delete", on: INSTANCE, name: "m2" });
    const { id } = await theInstance();
    const { activeLayer } = await world.fixture.layers({ id });
    await unlink((await readHeader(activeLayer)).backing ?? "");
    const patience = Date.now() + 20_000;
    let answer: string | undefined;
    const asked = codeOf(world.fixture.engine.snapshots.tree(id)).then((code) => {
      answer = code;
    });
    for (let n = 1; answer === undefined && Date.now() < patience; n += 1) {
      await utimes(activeLayer, n, n);
    }
    await asked;
    expect(answer).to.equal("nothing");
    expect(kinds(await find())).to.include("layer-missing");
  });

  it("the pool moved: both places are named, and nothing is removed", async () => {
    const elsewhere = join(world.daemon.folder, "elsewhere");
    await virsh("pool-destroy", "strata");
    await virsh("pool-undefine", "strata");
    await virsh("pool-define-as", "strata", "dir", "--target", elsewhere);
    await virsh("pool-build", "strata");
    const options = { settings: world.settings, dataFolder: "/nonexistent", log: silent };
    const engine = await libvirt.open(options);
    const findings = await find(engine);
    await engine[Symbol.asyncDispose]();
    expect(kinds(findings)).to.include("folder-elsewhere");
    expect(findings[0]?.detail).to.contain(elsewhere);
    expect(await repairAll(await folder())).to.deep.equal([]);
  });
});

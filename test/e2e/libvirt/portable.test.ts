import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { execa } from "execa";
import { context, newSpec } from "../../../lib/engine/conformance/fixture.ts";
import { asStrataError } from "../../../lib/errors.ts";
import { DomainXmlFlags } from "../../../plugins/libvirt/rpc/index.ts";
import { activeLayers } from "../../../plugins/libvirt/xml/disks.ts";
import { parse } from "../../../plugins/libvirt/xml/document.ts";
import { readInterfaces } from "../../../plugins/libvirt/xml/domain.ts";
import { readMetadata } from "../../../plugins/libvirt/xml/metadata.ts";
import { stageForAll } from "../../support/libvirt/scene-hooks.ts";
import type { Stage } from "../../support/libvirt/virsh-scene.ts";
import { type Piece, repack, summed, unpack } from "../../support/parcel.ts";
import { PROGRAM } from "../../support/program.ts";

const MIB = 1024n ** 2n;
const NAME = `strata-test-portable-${process.pid}`;
const COPY = `${NAME}-copy`;
const COMMENT = 'it\'s <b>&amp; "größe" \u{1f680}\n\u0001 /var/lib/libvirt';

/** An instance with two disks and a tree of snapshots leaves its host as a file, and comes back from it. */
describe("an exported instance", () => {
  let stage: Stage;
  let parcel: Buffer;
  let pieces: Piece[];
  // Before that of the stage, which closes it.
  after(() => remove(NAME));
  stageForAll((opened) => {
    stage = opened;
  });

  const layers = async (name: string) => {
    const domain = await stage.fixture.connection.lookupDomainByName(name);
    return activeLayers(await parse(await domain.getXml(DomainXmlFlags.INACTIVE)));
  };
  const write = async (mark: number) => {
    for (const [at, file] of (await layers(NAME)).entries()) {
      await execa("qemu-io", ["-f", "qcow2", "-c", `write -P ${mark + at} ${mark * 128}k 64k`, file]);
    }
  };
  const take = (name: string, comment = "") => stage.strata.snapshots.take(NAME, { name, comment });
  const restore = (instance: string, snapshot: string) =>
    stage.strata.snapshots.restore({ instance, snapshot });
  const remove = (name: string) => stage.strata.delete([{ instance: name }], { purge: true });
  const accept = (bytes: Buffer, name = COPY) =>
    stage.strata.instances.import(Readable.from([bytes], { objectMode: false }), { name });

  /** What a user knows of an instance: its records, and the contents of each disk now and in each snapshot. */
  async function knownOf(name: string) {
    const digest = async () => {
      const digests: string[] = [];
      for (const file of await layers(name)) {
        digests.push(await stage.contents.of(file));
      }
      return digests;
    };
    const now = await digest();
    const [tree] = await stage.strata.snapshots.list([name]);
    const [info] = await stage.strata.instances.info([name], { askGuests: false });
    const found: Record<string, unknown> = { now, standsOn: tree?.standsOn, resources: info?.resources };
    for (const { instance, size, ...record } of tree?.snapshots ?? []) {
      await restore(name, record.name);
      found[record.name] = { ...record, disks: await digest() };
    }
    return found;
  }

  before(async () => {
    const spec = newSpec(stage.fixture, { name: NAME, extraDisks: [32n * MIB] });
    await stage.fixture.engine.instances.create(spec, context());
    await write(1);
    await take("clean", COMMENT);
    await write(2);
    await take("second");
    await stage.strata.instances.resize(NAME, { cpus: 2 });
    await restore(NAME, "clean");
    await write(3);
    await take("branch");
    await write(4);
    await take("gone");
    await write(5);
    // Its layer stays below, hidden.
    await stage.strata.delete([{ instance: NAME, snapshot: "gone" }], { purge: true });
    const to = new PassThrough();
    const read = buffer(to);
    await stage.strata.instances.export(NAME, to);
    to.end();
    parcel = await read;
    pieces = await unpack(parcel);
  });
  it("is whole where it is imported: contents, tree, comments, resources and the counter", async () => {
    await accept(parcel);
    try {
      const found = await stage.strata.maintenance.audit();
      expect(found.filter(({ instance }) => instance === COPY)).to.deep.equal([]);
      const [taken] = await stage.strata.snapshots.list([COPY]);
      expect(taken?.snapshots.map(({ name }) => name)).to.deep.equal(["clean", "second", "branch"]);
      const copy = await knownOf(COPY);
      expect(copy).to.deep.equal(await knownOf(NAME));
      expect(String(await stage.strata.snapshots.take(COPY))).to.equal(`${COPY}.snapshot5`);
    } finally {
      await remove(COPY);
    }
  });

  it("is one snapshot of it where only that is wanted: the instance as it was then", async () => {
    const to = new PassThrough();
    const read = buffer(to);
    await stage.strata.instances.export(NAME, to, { snapshot: "second" });
    to.end();
    await accept(await read);
    try {
      const { now, resources } = await knownOf(COPY);
      const known = await knownOf(NAME);
      expect(Object(known.second)).to.deep.include({ disks: now });
      expect(Object(resources).cpus).to.equal(1);
      expect(String(await stage.strata.snapshots.take(COPY))).to.equal(`${COPY}.snapshot1`);
    } finally {
      await remove(COPY);
    }
  });

  it("is the machine that it was where that is wanted, and never twice on a host", async () => {
    const domain = await stage.fixture.connection.lookupDomainByName(NAME);
    const before = await parse(await domain.getXml(DomainXmlFlags.INACTIVE));
    const keep = (bytes: Buffer) =>
      stage.strata.instances.import(Readable.from([bytes], { objectMode: false }), {
        name: COPY,
        identity: "keep",
      });
    const error = await keep(parcel).catch(asStrataError);
    expect(error).to.include({ code: "IDENTITY_TAKEN" });
    expect(await left()).to.deep.equal([]);
    // As if it came from a host where this one is not.
    const [uuid, mac] = [randomUUID(), "52:54:00:0a:0b:0c"];
    const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5";
    await keep(
      await lying((m) => {
        Object.assign(m.contents.identity, { uuid, mac });
        Object.assign(m.instance, { hostKey });
      }),
    );
    try {
      const made = await stage.fixture.connection.lookupDomainByName(COPY);
      expect(made.uuid).to.equal(uuid);
      const document = await parse(await made.getXml(DomainXmlFlags.INACTIVE));
      expect(readInterfaces(document)[0]?.mac).to.equal(mac);
      const { record } = (await stage.fixture.engine.instances.find(COPY)) ?? {};
      const { cloudInstanceId } = readMetadata(before)?.record ?? {};
      expect(record).to.include({ hostKey, cloudInstanceId });
      await restore(COPY, "clean");
      expect((await stage.fixture.engine.instances.find(COPY))?.record).to.include({ hostKey });
    } finally {
      await remove(COPY);
    }
  });

  it("gives each disk of each state as an image that stands on nothing", async () => {
    const folder = await mkdtemp(join(stage.fixture.folder, "images-"));
    const known = await knownOf(NAME);
    const disksOf = (state: unknown) => Object(state).disks;
    const states = [{}, { snapshot: "clean" }, { snapshot: "branch", disk: "vdc" }];
    const expected = [Object(known.now)[0], disksOf(known.clean)[0], disksOf(known.branch)[1]];
    for (const [at, state] of states.entries()) {
      const path = join(folder, `${at}.qcow2`);
      const warnings: string[] = [];
      await stage.strata.instances.exportDisk(NAME, path, { ...state, warn: (said) => warnings.push(said) });
      expect(await stage.contents.of(path), JSON.stringify(state)).to.equal(expected[at]);
      expect(warnings, "the other disk").to.have.length(1);
      const { stdout } = await execa("qemu-img", ["info", "--output=json", path]);
      expect(JSON.parse(stdout)).to.not.have.property("backing-filename");
      expect((await stat(path)).mode & 0o777).to.equal(0o600);
    }
    const path = join(folder, "none");
    const error = await stage.strata.instances.exportDisk(NAME, path, { disk: "vdx" }).catch(asStrataError);
    expect(error).to.include({ code: "DISK_NOT_FOUND" });
    expect(await readdir(folder)).to.not.include("none");
  });

  it("says nothing of this host but what the user named", () => {
    const manifest = pieces[0]?.bytes.toString() ?? "";
    const { contents, ...envelope } = JSON.parse(manifest);
    expect(JSON.stringify(envelope)).to.not.match(/"\//);
    expect(JSON.stringify({ ...contents, snapshots: [] })).to.not.match(/\//);
  });

  it("needs a free name", async () => {
    const error = await accept(parcel, NAME).catch(asStrataError);
    expect(error).to.include({ code: "INSTANCE_EXISTS" });
  });

  /** Where layers of the parcel are beside the exported instance, and the domain that was to be made. */
  const left = async () => {
    const [first = ""] = await layers(NAME);
    const own = dirname(first);
    const root = dirname(own);
    const folders = (await readdir(root)).map((uuid) => join(root, uuid)).filter((folder) => folder !== own);
    const files = await Promise.all(folders.map((folder) => readdir(folder).catch(() => [])));
    const found = files.flat().filter((file) => pieces.some(({ name }) => name === file));
    const domains = (await stage.fixture.connection.listDomains()).filter(({ name }) => name === COPY);
    return [...found, ...domains.map(({ name }) => name)];
  };

  /** Nothing but a refusal comes of it. */
  async function refused(what: string, bytes: Buffer, code = "PARCEL_BROKEN") {
    const error = await accept(bytes).then(
      () => ({ code: "accepted" }),
      (reason: unknown) => asStrataError(reason),
    );
    if (error.code === "accepted") {
      await remove(COPY);
    }
    expect(error, what).to.include({ code });
    expect(await left(), what).to.deep.equal([]);
  }

  it("is refused wherever it is cut off, and leaves nothing", async () => {
    for (const part of [0, 100, 512, 5000, 0.3, 0.6, 0.9, 0.999]) {
      const length = part < 1 ? Math.floor(parcel.length * part) : part;
      await refused(`the first ${length} bytes`, parcel.subarray(0, length));
    }
  });

  it("is refused if a byte of it has changed", async () => {
    const start = parcel.indexOf("QFI\u00fb", 0, "latin1");
    for (const at of [600, start + 300_000, Math.floor(parcel.length / 2), parcel.length - 12_000]) {
      const other = Buffer.from(parcel);
      other[at] = (other[at] ?? 0) ^ 1;
      await refused(`byte ${at}`, other);
    }
  });

  it("is removed by the next import of that name if one was killed", async () => {
    const child = spawn(process.execPath, [PROGRAM, "import", "-", "--as", COPY], {
      stdio: ["pipe", "ignore", "ignore"],
    });
    child.stdin.on("error", () => {});
    child.stdin.write(parcel.subarray(0, Math.floor(parcel.length / 2)));
    while ((await left()).length === 0) {
      await delay(50);
    }
    child.kill("SIGKILL");
    await once(child, "exit");
    await accept(parcel);
    await remove(COPY);
    expect(await left()).to.deep.equal([]);
  });

  /** The parcel with a change of its manifest, and sums that are right. */
  const lying = (change: (manifest: ReturnType<typeof JSON.parse>, files: Piece[]) => void) => {
    const copies = pieces.map((piece) => ({ ...piece, bytes: Buffer.from(piece.bytes) }));
    const [first, ...files] = copies;
    const manifest = JSON.parse(first?.bytes.toString() ?? "");
    change(manifest, files);
    return repack(
      summed([{ name: "manifest.json", bytes: Buffer.from(JSON.stringify(manifest)) }, ...files]),
    );
  };
  /** Gives the first file another name, in the manifest too. */
  const named = (manifest: ReturnType<typeof JSON.parse>, [file]: Piece[], name: string) => {
    manifest.files[0].name = name;
    if (file !== undefined) {
      file.name = name;
    }
  };
  const layerOf = (files: Piece[], at = 0) => {
    const found = files.filter(({ name }) => name.startsWith("layer-"))[at];
    if (found === undefined) {
      throw new Error("there is no such layer");
    }
    return found;
  };

  it("is refused if its manifest lies, and leaves nothing", async () => {
    const lies: [string, (manifest: ReturnType<typeof JSON.parse>, files: Piece[]) => void, string?][] = [
      ["a path for a file", (m, files) => named(m, files, "../x")],
      ["an absolute path", (m, files) => named(m, files, "/etc/x")],
      ["a size", (m) => Object.assign(m.files[0], { size: m.files[0].size + 1 })],
      ["a huge size", (m) => Object.assign(m.files[0], { size: 2 ** 60 })],
      ["a file twice", (m) => m.files.push(m.files[0])],
      ["another engine", (m) => Object.assign(m, { engine: "lxd" }), "UNSUPPORTED"],
      ["a newer version", (m) => Object.assign(m, { strata: 2 })],
      ["another processor", (m) => Object.assign(m.contents, { arch: "s390x" }), "UNSUPPORTED"],
      ["too many CPUs", (m) => Object.assign(m.contents, { cpus: 9999 }), "INVALID_VALUE"],
      ["too much memory", (m) => Object.assign(m.contents, { memory: "9".repeat(17) }), "INVALID_VALUE"],
      ["memory that is none", (m) => Object.assign(m.contents, { memory: "0x10" })],
      ["a snapshot's name", (m) => Object.assign(m.contents.snapshots[0], { name: "../../x" })],
      ["a parent that is not there", (m) => Object.assign(m.contents.snapshots[0], { parent: "nosuch" })],
      ["a snapshot twice", (m) => m.contents.snapshots.push(m.contents.snapshots[0])],
      ["a disk in the place of the seed", (m) => Object.assign(m.contents.disks[1], { target: "vdb" })],
      ["a disk of QEMU's own", (m) => Object.assign(m.contents.disks[1], { target: "vdc' />" })],
      ["a layer on itself", (m) => Object.assign(m.contents.layers[0], { on: m.contents.layers[0].name })],
      ["a layer on a file", (m) => Object.assign(m.contents.layers[0], { on: "/etc/shadow" })],
      [
        "two disks on one layer",
        (m) => Object.assign(m.contents.disks[1], { layer: m.contents.disks[0].layer }),
      ],
      [
        "another image",
        (m, files) => {
          const other = "0".repeat(64);
          m.contents.base = other;
          named(m, files, `base-${other}.qcow2`);
        },
      ],
    ];
    for (const [what, change, code] of lies) {
      await refused(what, await lying(change), code);
    }
  });

  it("is refused if a layer is not what it should be, before QEMU opens it", async () => {
    const lies: [string, (layer: Buffer) => void][] = [
      ["no qcow2 file", (layer) => layer.write("XXXX", 0)],
      ["data in another file", (layer) => layer.writeBigUInt64BE(layer.readBigUInt64BE(72) | 4n, 72)],
      ["encryption", (layer) => layer.writeUInt32BE(2, 32)],
      ["a disk of 2^60 bytes", (layer) => layer.writeBigUInt64BE(2n ** 60n, 24)],
      ["a mark of corruption", (layer) => layer.writeBigUInt64BE(layer.readBigUInt64BE(72) | 2n, 72)],
      ["tables beyond its end", (layer) => layer.writeBigUInt64BE(2n ** 40n, 40)],
    ];
    for (const [what, change] of lies) {
      await refused(what, await lying((_, files) => change(layerOf(files, 1).bytes)));
    }
  });

  it("reads no file of this host that a header names", async () => {
    const bytes = await lying((_, files) => {
      const { bytes } = layerOf(files);
      const at = Number(bytes.readBigUInt64BE(8));
      bytes.fill(0, at, at + bytes.readUInt32BE(16));
      bytes.write("/etc/shadow", at);
      bytes.writeUInt32BE("/etc/shadow".length, 16);
    });
    await accept(bytes);
    try {
      for (const file of await layers(COPY)) {
        const { stdout } = await execa("qemu-img", ["info", "-U", "--backing-chain", "--output=json", file]);
        expect(stdout).to.not.contain("shadow");
      }
    } finally {
      await remove(COPY);
    }
  });

  it("has files alone, in their order, and nothing after them", async () => {
    const [manifest, first, second, ...others] = pieces;
    if (manifest === undefined || first === undefined || second === undefined) {
      throw new Error("the parcel has too few files");
    }
    await refused(
      "a link",
      await repack(summed([manifest, { ...first, type: "symlink" }, second, ...others])),
    );
    await refused("another order", await repack(summed([manifest, second, first, ...others])));
    await refused("a file more", await repack([...pieces, { name: "more", bytes: Buffer.from("x") }]));
    await refused("no manifest", await repack(pieces.slice(1)));
    await refused(
      "sums of others",
      await repack([...pieces.slice(0, -1), { name: "SHA256SUMS", bytes: Buffer.alloc(0) }]),
    );
  });
});

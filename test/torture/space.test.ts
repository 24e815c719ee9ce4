import { readdir, rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { expect } from "chai";
import { execa } from "execa";
import { context, lockOf } from "../../lib/engine/conformance/fixture.ts";
import { isStrataError } from "../../lib/errors.ts";
import { formatSize } from "../../lib/size/format.ts";
import { writeHost } from "../../lib/transfer/host.ts";
import libvirt from "../../plugins/libvirt/index.ts";
import { imageServer } from "../support/images/image-server.ts";
import { contextOf, type ImageRoom, imageRoom, sha256 } from "../support/images/images.ts";
import { silent, whileLocked } from "../support/libvirt/fixture.ts";
import { perform, specOf } from "./verb.ts";
import { INSTANCE, openWorld, type World } from "./world.ts";

const MIB = 1024 ** 2;

/** The details of NO_SPACE with which a callback is refused, in MiB; its message has to have them too. */
async function shortage(work: Promise<unknown>): Promise<{ needed: number; free: number; missing: number }> {
  const error = await work.then(
    () => "nothing was refused",
    (reason: unknown) => reason,
  );
  if (!isStrataError(error) || error.code !== "NO_SPACE") {
    throw error;
  }
  const [needed = 0, free = 0, missing = 0] = ["needed", "free", "missing"].map(
    (key) => Number(error.details[key]) / MIB,
  );
  expect(error.message).to.contain(`${formatSize(BigInt(error.details.missing ?? 0))} missing`);
  expect(missing)
    .to.be.closeTo(needed - free, 0.01)
    .and.above(0);
  return { needed, free, missing };
}

describe("room that is missing is told before anything is made", () => {
  let world: World;
  before(async () => {
    world = await openWorld({ fileSystem: { kind: "ext4", size: 64 * MIB } });
  });
  after(() => world[Symbol.asyncDispose]());

  /** Runs a callback while so many MiB are free. */
  async function withFree<T>(mib: number, work: () => Promise<T>): Promise<T> {
    const ballast = join(world.daemon.disk, "ballast");
    const { bavail, bsize } = await statfs(world.daemon.disk);
    await execa("fallocate", ["-l", String(Math.round(bavail * bsize - mib * MIB)), ballast]);
    try {
      return await work();
    } finally {
      await rm(ballast);
    }
  }

  const files = () => readdir(world.daemon.pool, { recursive: true });
  const found = async () => {
    const instance = await world.fixture.engine.instances.find(INSTANCE);
    if (instance === null) {
      throw new Error("it is gone");
    }
    return instance;
  };

  it("a launch, with the size of the base image", async () => {
    const path = join(world.daemon.folder, "big.raw");
    await writeFile(path, Buffer.alloc(20 * MIB, 1));
    const image = { ...world.fixture.image, path, sha256: "a".repeat(64) };
    const before = await files();
    const { needed, free } = await withFree(10, () =>
      shortage(world.fixture.engine.instances.create(specOf("second", image), context())),
    );
    expect(needed).to.be.within(20, 30);
    expect(free).to.be.closeTo(10, 1);
    expect(await files()).to.deep.equal(before);
    expect(await world.fixture.engine.instances.find("second")).to.equal(null);
  });

  it("a clone, a snapshot, a restore and a larger disk, which need less", async () => {
    const { engine } = world.fixture;
    const before = [await files(), await world.observe()];
    await withFree(2, async () => {
      for (const verb of [
        { kind: "clone", on: INSTANCE, name: "copy" },
        { kind: "take", on: INSTANCE, name: "new", createdAt: 1 },
        { kind: "restore", on: INSTANCE, name: "c" },
        { kind: "resize", on: INSTANCE, cpus: 1, mebibytes: 20 },
      ] as const) {
        expect((await shortage(perform(engine, verb))).needed, verb.kind).to.be.above(2);
      }
    });
    expect([await files(), await world.observe()]).to.deep.equal(before);
  });

  it("a merge after a deletion says how much it lacked, and is done when it can be", async () => {
    const warnings: string[] = [];
    const log = { ...silent, warn: (message: string) => void warnings.push(message) };
    await using engine = await libvirt.open({ settings: world.settings, dataFolder: "/nonexistent", log });
    const instance = await found();
    await withFree(0.1, () => perform(engine, { kind: "delete", on: INSTANCE, name: "b" }));
    expect(warnings.join("\n")).to.match(/could not be merged; a later command tries again: .* missing/);
    expect((await engine.maintenance?.audit())?.map(({ kind }) => kind)).to.deep.equal(["layer-unmerged"]);
    await whileLocked({ engine }, instance, () =>
      engine.instances.stop(lockOf(instance.id), "force", context()),
    );
    expect(await engine.maintenance?.audit()).to.deep.equal([]);
  });
});

describe("room that is missing on a file system of this host", () => {
  let room: ImageRoom;
  beforeEach(async () => {
    room = await imageRoom();
    await execa("mkdir", ["-p", room.cache]);
    await execa("mount", ["-t", "tmpfs", "-o", "size=4M,mode=0700", "strata-test", room.cache]);
  });
  afterEach(async () => {
    await execa("umount", [room.cache]);
    await room[Symbol.asyncDispose]();
  });

  /** A disk of 8 MiB that can be read as one. */
  function disk(): Buffer {
    const bytes = Buffer.alloc(8 * MIB, 7);
    bytes.writeUInt16LE(0xaa55, 510);
    return bytes;
  }

  it("is told before a file of a guest is written", async () => {
    const body = Readable.from([Buffer.alloc(MIB)]);
    const entry = { kind: "file", path: "", mode: 0o600, modified: 0, size: 8 * MIB, body } as const;
    const target = join(room.cache, "file");
    const { signal } = new AbortController();
    const entries = async function* () {
      yield entry;
    };
    expect((await shortage(writeHost(target, entries(), signal))).needed).to.equal(8);
    expect(await room.cached()).to.deep.equal([]);
  });

  it("is told before an image is copied", async () => {
    const path = room.path("image.raw");
    await writeFile(path, disk());
    const { needed, free } = await shortage(room.store.resolve(`file://${path}`, contextOf()));
    expect([needed, free]).to.deep.equal([8, 4]);
    expect(await room.cached()).to.deep.equal([]);
  });

  it("is told before an image is downloaded, from the size that its server says", async () => {
    const bytes = disk();
    let sent = 0;
    await using server = await imageServer((_n, _request, response) => {
      response.writeHead(200, { "content-length": bytes.length });
      response.write(bytes.subarray(0, MIB), () => {
        sent += 1;
      });
    });
    const url = server.url("/image", sha256(bytes));
    expect((await shortage(room.store.resolve(url, contextOf()))).needed).to.equal(8);
    expect(sent).to.be.at.most(1);
    expect(await room.cached()).to.deep.equal([]);
  });
});

import { chmod, mkdir, open, readFile, stat, writeFile } from "node:fs/promises";
import { PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect } from "chai";
import { execa } from "execa";
import fc from "fast-check";
import { archive, refusal, type TransferRoom, transferRoom } from "../../support/guest/transfer-room.ts";

const MIB = 1024 ** 2;

describe("a transfer of a file with holes", () => {
  let at: TransferRoom;
  beforeEach(async () => {
    at = await transferRoom();
  });
  afterEach(() => at[Symbol.asyncDispose]());

  /** A file of that size with data at some places. */
  const make = async (inner: string, size: number, ...places: (readonly [at: number, length: number])[]) => {
    const file = await open(at.path(inner), "w");
    for (const [offset, length] of places) {
      await file.write(Buffer.alloc(length, 1 + (offset % 250)), 0, length, offset);
    }
    await file.truncate(size);
    await file.close();
  };
  const room = async (inner: string) => (await stat(at.path(inner))).blocks * 512;
  const same = async (one: string, other: string) => {
    const { exitCode } = await execa("cmp", ["-s", at.path(one), at.path(other)], { reject: false });
    return exitCode === 0;
  };

  it("keeps them there, to another guest and back", async () => {
    await mkdir(at.path("host/disks"));
    await make("host/disks/disk", 300 * MIB, [0, 10_000], [100 * MIB, 4096], [250 * MIB + 5, 1]);
    await make("host/disks/empty", 200 * MIB);
    await make("host/disks/end", 100 * MIB, [100 * MIB - 7, 7]);
    await writeFile(at.path("host/disks/plain"), "no holes");
    const recursive = { recursive: true };
    await at.strata.guest.transfer({ path: at.path("host/disks") }, { instance: "web", path: "" }, recursive);
    await at.strata.guest.transfer(
      { instance: "web", path: "disks" },
      { instance: "db", path: "there" },
      recursive,
    );
    await at.strata.guest.transfer(
      { instance: "db", path: "there" },
      { path: at.path("host/back") },
      recursive,
    );
    for (const folder of ["web/disks", "db/there", "host/back"]) {
      expect(await at.tree(folder)).to.deep.equal(["disk", "empty", "end", "plain"]);
      for (const each of await at.tree(folder)) {
        expect(await same(`${folder}/${each}`, `host/disks/${each}`), `${folder}/${each}`).to.equal(true);
        expect(await room(`${folder}/${each}`), `${folder}/${each}`).to.be.below(MIB);
      }
    }
  });

  it("is right by itself too, and as a stream, which has no holes", async () => {
    await make("host/disk", 20 * MIB, [5 * MIB, 100]);
    await at.strata.guest.transfer({ path: at.path("host/disk") }, { instance: "web", path: "other" });
    await at.strata.guest.transfer({ instance: "web", path: "other" }, { path: at.path("host/back") });
    expect([await same("host/disk", "host/back"), (await room("host/back")) < MIB]).to.deep.equal([
      true,
      true,
    ]);
    const stream = new PassThrough();
    const read = buffer(stream);
    await at.strata.guest.transfer({ instance: "web", path: "other" }, { stream });
    stream.end();
    expect((await read).equals(await readFile(at.path("host/disk")))).to.equal(true);
  });

  it("is right in a guest whose tar knows of none", async () => {
    await make("host/disk", 3 * MIB, [MIB, 100]);
    // It would take one, but nobody is told: what is sent has to be whole.
    await writeFile(at.path("bin/tar"), '#!/bin/sh\n[ "$1" = --version ] && exit 1\nexec /bin/tar "$@"\n');
    await chmod(at.path("bin/tar"), 0o755);
    await at.strata.guest.transfer({ path: at.path("host/disk") }, { instance: "web", path: "disk" });
    expect(await same("host/disk", "web/disk")).to.equal(true);
    expect(await room("web/disk")).to.be.at.least(3 * MIB);
    await at.strata.guest.transfer({ instance: "web", path: "disk" }, { path: at.path("host/back") });
    expect(await same("host/disk", "host/back")).to.equal(true);
  });

  it("is right wherever holes and data are", async () => {
    const places = fc.uniqueArray(fc.tuple(fc.nat(40), fc.integer({ min: 1, max: 9000 })), {
      maxLength: 6,
      selector: ([place]) => place,
    });
    await fc.assert(
      fc.asyncProperty(places, fc.nat(5000), async (chosen, more) => {
        const end = Math.max(0, ...chosen.map(([place, length]) => place * 50_000 + length));
        await make("host/f", end + more * 50, ...chosen.map(([p, l]) => [p * 50_000, l] as const));
        await at.strata.guest.transfer({ path: at.path("host/f") }, { instance: "web", path: "f" });
        await at.strata.guest.transfer({ instance: "web", path: "f" }, { path: at.path("host/g") });
        return (await same("host/f", "web/f")) && (await same("host/f", "host/g"));
      }),
      { numRuns: 15 },
    );
  });

  it("is refused where a guest's map of it makes no sense", async () => {
    const map = (text: string, data: string) => text + "\0".repeat(512 - text.length) + data;
    await writeFile(at.path("web/f"), "");
    for (const content of [
      map("1\n0\n4\n", "too long"),
      map("1\n0\n8\n", "short"),
      map("2\n8\n4\n0\n4\n", "backward"),
      map("1\n90\n20\n", "x".repeat(20)),
      map("1\n-1\n5\n", "minus"),
      map("1\nx\n5\n", "words"),
      "1\n0\n",
      "9".repeat(600),
    ]) {
      const pax = { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "100" };
      const header = { name: "f", content, pax };
      await at.guestSends(await archive(header));
      const work = at.strata.guest.transfer({ instance: "web", path: "f" }, { path: at.path("host/f") });
      expect((await refusal(work)).message).to.contain("its map of holes");
      expect(await at.tree("host")).to.deep.equal([]);
    }
  });
}).timeout(60_000);

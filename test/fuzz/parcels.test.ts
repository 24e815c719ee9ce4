import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect } from "chai";
import { execa } from "execa";
import fc from "fast-check";
import { context } from "../../lib/engine/conformance/fixture.ts";
import { asStrataError } from "../../lib/errors.ts";
import { type Manifest, parseManifest } from "../../lib/portable/manifest.ts";
import { openParcel } from "../../lib/portable/read.ts";
import { type Contents, parseContents } from "../../plugins/libvirt/portable/contents.ts";
import { checkLayer, judgeLayer } from "../../plugins/libvirt/portable/judge.ts";
import { type Piece, repack, summed, unpack } from "../support/parcel.ts";
import { runs } from "./runs.ts";

const layer = () => `layer-${randomUUID()}.qcow2`;
const SHA = "0123456789abcdef".repeat(4);

/** What a true parcel says: a base image, three layers, two snapshots. */
function manifest(): Manifest & { contents: Contents } {
  const [a, b, c] = [layer(), layer(), layer()];
  const machine = { cpus: 1, memory: String(1024 ** 3) };
  const snapshot = { comment: "", createdAt: 1, ...machine, consistency: "stopped" } as const;
  return {
    strata: 1,
    engine: "libvirt",
    instance: {
      name: "web",
      username: "debian",
      image: { sha256: SHA, release: "12", os: "Debian" },
      snapshotsTaken: 2,
      createdAt: 1,
    },
    contents: {
      arch: "x86_64",
      ...machine,
      disks: [{ target: "vda", layer: c }],
      layers: [
        { name: a, on: "base" },
        { name: b, on: a },
        { name: c, on: b },
      ],
      base: SHA,
      snapshots: [
        { name: "clean", parent: null, ...snapshot, disks: [{ target: "vda", frozen: a }] },
        { name: "later", parent: "clean", ...snapshot, disks: [{ target: "vda", frozen: b }] },
      ],
    },
    files: [`base-${SHA}.qcow2`, a, b, c].map((name) => ({ name, size: 10 })),
  };
}

/** Values that somebody who means harm would try. */
const harm = fc.oneof(
  fc.constantFrom<unknown>(
    "../x",
    "/etc/shadow",
    "layer-../../x.qcow2",
    "-oProxyCommand=x",
    "a\0b",
    "vda'/><hostdev",
    "vdb",
    "base",
    "json:{}",
    "",
    "x".repeat(100_000),
    2 ** 60,
    -1,
    0.5,
    1e308,
    null,
    true,
    [],
    {},
    Object.fromEntries([["__proto__", { strata: 1 }]]),
    `layer-${"0".repeat(36)}.qcow2`,
    "MANIFEST.json",
    "manifest.json",
    "SHA256SUMS",
  ),
  fc.string(),
  fc.double(),
);

/** Changes at places that a number chooses: a value replaced, a member removed, a member of a list twice. */
const changes = fc.array(fc.tuple(fc.nat(), fc.constantFrom("replace", "remove", "double", "swap"), harm), {
  minLength: 1,
  maxLength: 4,
});

type Place = { readonly holder: Record<string, unknown> | unknown[]; readonly key: string };

function places(value: unknown): Place[] {
  if (typeof value !== "object" || value === null) {
    return [];
  }
  const holder = value as Place["holder"];
  return Object.entries(value).flatMap(([key, inner]) => [{ holder, key }, ...places(inner)]);
}

function change(root: unknown, [at, how, value]: readonly [number, string, unknown], other: number): void {
  const all = places(root);
  const place = all[at % Math.max(1, all.length)];
  if (place === undefined) {
    return;
  }
  const holder = place.holder as Record<string, unknown>;
  if (how === "remove") {
    Reflect.deleteProperty(holder, place.key);
  } else if (how === "double" && Array.isArray(place.holder)) {
    place.holder.push(structuredClone(holder[place.key]));
  } else {
    const source = all[other % all.length];
    holder[place.key] =
      how === "swap" && source !== undefined
        ? structuredClone((source.holder as Record<string, unknown>)[source.key])
        : value;
  }
}

/** What nothing of a parcel may be, once it has been accepted, since paths and definitions are made of it. */
function expectHarmless({ files }: Manifest, contents: Contents): void {
  const { layers, disks, snapshots, base, arch } = contents;
  for (const { name, size } of files) {
    expect(name).to.match(/^(?:layer-[0-9a-f-]{36}|base-[0-9a-f]{64})\.qcow2$/);
    expect(basename(name)).to.equal(name);
    expect(Number.isSafeInteger(size) && size >= 0).to.equal(true);
  }
  const known = new Set<string | null>([null, ...(base === null ? [] : ["base"])]);
  for (const { name, on } of layers) {
    expect(known.has(on) && !known.has(name), "each layer after what it stands on").to.equal(true);
    known.add(name);
  }
  expect(arch).to.match(/^\w+$/);
  const all = [...disks, ...snapshots.flatMap((each) => each.disks)];
  for (const disk of all) {
    expect(disk.target).to.match(/^vd[ac-z][a-z]?$|^vdb[a-z]$/);
    expect(known.has("layer" in disk ? disk.layer : disk.frozen)).to.equal(true);
  }
  for (const { name, parent, cpus, memory } of [...snapshots]) {
    expect(name).to.match(/^[A-Za-z][A-Za-z0-9-]*$/);
    expect(parent === null || snapshots.some((each) => each.name === parent)).to.equal(true);
    expect(Number.isSafeInteger(cpus) && /^\d+$/.test(memory)).to.equal(true);
  }
}

async function outcome<T>(work: () => Promise<T>): Promise<T | "refused"> {
  try {
    return await work();
  } catch (error) {
    const { code, cause } = asStrataError(error);
    expect(code, String(cause)).to.equal("PARCEL_BROKEN");
    return "refused";
  }
}

describe("parcels of any kind", () => {
  it("have a manifest that is harmless, or are refused", async () => {
    await fc.assert(
      fc.asyncProperty(changes, fc.nat(), async (list, other) => {
        const lying = manifest();
        for (const each of list) {
          change(lying, each, other);
        }
        await outcome(async () => {
          const read = await parseManifest(Buffer.from(JSON.stringify(lying)));
          expectHarmless(read, await parseContents(read.contents, read.files));
        });
      }),
      runs(3),
    );
  });

  it("have a manifest that is JSON, or are refused", async () => {
    const text = JSON.stringify(manifest());
    const bytes = fc
      .array(fc.tuple(fc.nat(text.length), fc.nat(255)), { minLength: 1, maxLength: 8 })
      .map((list) => {
        const changed = Buffer.from(text);
        for (const [at, value] of list) {
          changed[at] = value;
        }
        return changed;
      });
    await fc.assert(
      fc.asyncProperty(bytes, async (each) => {
        await outcome(async () => {
          const read = await parseManifest(each);
          expectHarmless(read, await parseContents(read.contents, read.files));
        });
      }),
      runs(2),
    );
  });

  it("come whole, each file with its bytes, or are refused", async () => {
    const truth = manifest();
    const files: Piece[] = truth.files.map(({ name }, at) => ({ name, bytes: Buffer.alloc(10, at) }));
    const first = { name: "manifest.json", bytes: Buffer.from(JSON.stringify(truth)) };
    const whole = await repack(summed([first, ...files]));
    const streams = fc.tuple(
      fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 4 }),
      fc.nat(whole.length),
      fc.boolean(),
    );
    await fc.assert(
      fc.asyncProperty(streams, async ([flips, length, isCut]) => {
        const changed = Buffer.from(whole);
        for (const [at, value] of flips) {
          changed[at] = value;
        }
        const bytes = isCut ? changed.subarray(0, length) : changed;
        await outcome(async () => {
          await using parcel = await openParcel(Readable.from([bytes], { objectMode: false }), context());
          const came: Piece[] = [];
          for await (const { name, body } of parcel.files) {
            came.push({ name, bytes: await buffer(Readable.from(body)) });
          }
          // A change of what tar does not look at, such as an owner, does no harm.
          expect(came).to.deep.equal(files);
          expect(parcel.manifest).to.deep.equal(truth);
        });
      }),
      runs(2),
    );
    expect(await unpack(whole)).to.have.length(files.length + 2);
  });

  describe("with layers", () => {
    let folder: string;
    let whole: Buffer;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "strata-fuzz-"));
      const path = join(folder, "whole.qcow2");
      const backing = join(folder, "below.qcow2");
      await execa("qemu-img", ["create", "-q", "-f", "qcow2", backing, "4M"]);
      await execa("qemu-img", ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", backing, path]);
      await execa("qemu-io", ["-f", "qcow2", "-c", "write -P 7 0 128k", path]);
      const { readFile } = await import("node:fs/promises");
      whole = await readFile(path);
    });
    after(() => rm(folder, { recursive: true, force: true }));

    /** Changes where the header is, and where its tables are. */
    const flips = fc.array(
      fc.tuple(
        fc.oneof(fc.nat(120), fc.nat(120), fc.nat(600), fc.nat(0x50000)),
        fc.oneof(fc.nat(255), fc.constantFrom(0, 255, 128)),
      ),
      { minLength: 1, maxLength: 6 },
    );
    const changed = (list: readonly (readonly [number, number])[]) => {
      const bytes = Buffer.from(whole);
      for (const [at, value] of list) {
        if (at < bytes.length) {
          bytes[at] = value;
        }
      }
      return bytes;
    };

    it("have headers that name no file and no key, or are refused", async () => {
      const path = join(folder, "judged.qcow2");
      await fc.assert(
        fc.asyncProperty(flips, async (list) => {
          const bytes = changed(list).subarray(0, 4096);
          await writeFile(path, bytes);
          await outcome(async () => {
            await judgeLayer("it", path);
            expect(bytes.toString("latin1", 0, 4)).to.equal("QFI\u00fb");
            expect(bytes.readUInt32BE(4)).to.be.oneOf([2, 3]);
            expect(bytes.readUInt32BE(32), "encryption").to.equal(0);
            expect(Number(bytes.readBigUInt64BE(24))).to.be.within(1, 64 * 1024 ** 4);
            if (bytes.readUInt32BE(4) === 3) {
              expect(bytes.readBigUInt64BE(72) & 6n, "another file, or corrupt").to.equal(0n);
            }
          });
        }),
        runs(2),
      );
    });

    it("have tables that QEMU looks at within its limits, or are refused", async () => {
      const path = join(folder, "checked.qcow2");
      await fc.assert(
        fc.asyncProperty(flips, async (list) => {
          await writeFile(path, changed(list));
          await outcome(async () => {
            await judgeLayer("it", path);
            await checkLayer("it", path, context().signal);
          });
        }),
        runs(0.1),
      );
    });
  });
});

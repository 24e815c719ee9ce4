import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import fc from "fast-check";
import { readHeader } from "../../../plugins/libvirt/qcow2/header.ts";
import { createOverlay } from "../../../plugins/libvirt/qcow2/overlay.ts";

/** The overlays that strata writes itself, beside those that `qemu-img create` makes. */
describe("overlays", () => {
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "strata-overlay-"));
  });

  after(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  async function describeImage(path: string): Promise<unknown> {
    const { stdout } = await execa("qemu-img", ["info", "--output=json", path]);
    const { filename, "actual-size": size, "dirty-flag": dirty, children, ...rest } = JSON.parse(stdout);
    return rest;
  }

  const sectors = fc.oneof(
    fc.bigInt({ min: 1n, max: 8n }),
    // About the edges of what one and two entries of the L1 table map, and of its first cluster.
    ...[2n ** 20n, 2n ** 21n, 2n ** 33n].map((edge) => fc.bigInt({ min: edge - 2n, max: edge + 2n })),
    fc.bigInt({ min: 1n, max: 2n ** 41n }),
  );
  const named = fc.constantFrom(
    "base.qcow2",
    "ünïcode 火.qcow2",
    `${"long".repeat(50)}.qcow2`,
    "a,b'c\".qcow2",
  );

  it("are what qemu-img makes, whatever the size and the name of the file below", async () => {
    await fc.assert(
      fc.asyncProperty(sectors, named, async (count, name) => {
        const size = 512n * count;
        const backing = join(folder, name);
        const [ours, theirs] = [join(folder, "ours.qcow2"), join(folder, "theirs.qcow2")];
        for (const file of [backing, ours, theirs]) {
          await rm(file, { force: true });
        }
        await execa("qemu-img", ["create", "-q", "-f", "qcow2", backing, String(size)]);
        await createOverlay(ours, backing);
        await execa("qemu-img", ["create", "-q", "-f", "qcow2", "-b", backing, "-F", "qcow2", theirs]);
        expect(await describeImage(ours)).to.deep.equal(await describeImage(theirs));
        expect(await readHeader(ours)).to.deep.equal({
          virtualSize: size,
          backing,
          inside: 0,
          backingFormat: "qcow2",
          encrypted: false,
          externalData: false,
        });
        await execa("qemu-img", ["check", "-q", ours]);
      }),
      { numRuns: 40 },
    );
  });

  it("hold what is written to them, larger than the file below and up to their last sector", async () => {
    const [backing, overlay] = [join(folder, "below.qcow2"), join(folder, "above.qcow2")];
    await execa("qemu-img", ["create", "-q", "-f", "qcow2", backing, "64M"]);
    await execa("qemu-io", ["-c", "write -P 1 0 1M", backing]);
    const size = 3n * 2n ** 40n;
    await createOverlay(overlay, backing, { size });
    const last = size - 512n;
    const [written, read] = ["write", "read"].map((verb) => [
      `${verb} -P 2 512k 64k`,
      `${verb} -P 3 ${last} 512`,
      `${verb} -P 4 63M 4M`,
    ]);
    await execa("qemu-io", [...(written ?? []).flatMap((command) => ["-c", command]), overlay]);
    const expected = [...(read ?? []), "read -P 1 0 512k", "read -P 1 576k 448k", "read -P 0 1M 62M"];
    const { stdout } = await execa("qemu-io", [...expected.flatMap((command) => ["-c", command]), overlay]);
    expect(stdout).not.to.match(/failed|error/i);
    await execa("qemu-img", ["check", "-q", overlay]);
  });

  it("never take the place of a file that is there", async () => {
    const backing = join(folder, "there.qcow2");
    await execa("qemu-img", ["create", "-q", "-f", "qcow2", backing, "1M"]);
    const before = await readHeader(backing);
    const code = await createOverlay(backing, backing).then(
      () => "nothing",
      (error: { code: string }) => error.code,
    );
    expect(code).to.equal("ENGINE_ERROR");
    expect(await readHeader(backing)).to.deep.equal(before);
  });
});

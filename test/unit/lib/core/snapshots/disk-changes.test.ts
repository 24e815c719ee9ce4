import { expect } from "chai";
import { diskChanges } from "../../../../../lib/core/snapshots/disk-changes.ts";

const MIB = 1024n ** 2n;
const covered = (name: string) => ({ name, size: 16n * MIB });
const excluded = (name: string) => ({ name, size: 16n * MIB, excluded: true as const });

describe("what a restore does with further disks", () => {
  const details = (
    ...[now, then]: Parameters<typeof diskChanges> extends [string, ...infer Rest] ? Rest : never
  ) => diskChanges("s1", now, then).map(({ change, detail }) => `${change}: ${detail}`);

  it("is nothing to speak of where the instance has those of the snapshot", () => {
    expect(details(undefined, undefined)).to.deep.equal([]);
    expect(details([covered("vdb")], [{ name: "vdb", size: 8n * MIB }])).to.deep.equal([]);
  });

  it("is to remove what the snapshot lacks, and to bring back what the instance lacks", () => {
    expect(details([covered("vdc")], [covered("vdb")])).to.deep.equal([
      "returns: disk vdb (16.0MiB) comes back",
      "leaves: disk vdc (16.0MiB) is removed: s1 does not have it",
    ]);
  });

  it("is to leave alone what is excluded, or was, and to bring nothing back that was", () => {
    expect(
      details(
        [excluded("vdb"), covered("vdc"), excluded("vdd")],
        [covered("vdb"), excluded("vdc"), excluded("vde")],
      ),
    ).to.deep.equal([
      "kept: disk vdb (16.0MiB) stays as it is now: it is excluded",
      "kept: disk vdc (16.0MiB) stays as it is now: it was excluded when s1 was taken",
      "kept: disk vdd (16.0MiB) stays as it is now: it is excluded",
    ]);
  });

  it("names no size that cannot be told", () => {
    expect(details([{ name: "vdb", size: 0n }], undefined)).to.deep.equal([
      "leaves: disk vdb is removed: s1 does not have it",
    ]);
  });
});

import { expect } from "chai";
import { formatTrees } from "../../../../../lib/cli/format/snapshot-list.ts";
import type { SnapshotInfo, SnapshotTreeInfo } from "../../../../../lib/core/api/strata.ts";

/** A tree from `NAME<PARENT`, in the order of creation. */
function treeOf(nodes: readonly string[], standsOn: string): SnapshotTreeInfo {
  const snapshots = nodes.map((node): SnapshotInfo => {
    const [name = "", parent = ""] = node.split("<");
    return {
      instance: "web",
      name,
      comment: "",
      parent: parent || null,
      children: [],
      createdAt: 0,
      cpus: 1,
      memory: 1n,
      disk: 1n,
      mounts: [],
      size: null,
      consistency: "stopped",
      memorySize: null,
      group: null,
    };
  });
  return { instance: "web", snapshots, standsOn };
}

describe("a tree of snapshots", () => {
  it("is drawn with branches indented, and what follows on one in its column", () => {
    const tree = treeOf(["a", "b<a", "c<b", "d<c", "e<b", "f<d", "g<e", "h"], "g");
    expect(formatTrees([tree])).to.equal(
      ["web", "├─ a", "│  b", "│  ├─ c", "│  │  d", "│  │  f", "│  └─ e", "│     g  <- now", "└─ h", ""].join(
        "\n",
      ),
    );
  });

  it("is as narrow for a thousand snapshots in a line as for one", () => {
    const names = Array.from({ length: 1000 }, (_, at) => `s${at}`);
    const tree = treeOf(
      names.map((name, at) => `${name}<${names[at - 1] ?? ""}`),
      "s0",
    );
    const [, first, ...lines] = formatTrees([tree]).trimEnd().split("\n");
    expect(first).to.equal("└─ s0  <- now");
    expect(lines).to.deep.equal(names.slice(1).map((name) => `   ${name}`));
  });

  describe("on a terminal", () => {
    const now = 10 * 86_400_000;
    const { snapshots, ...rest } = treeOf(["clean", "tried<clean"], "tried");
    const [clean, tried] = snapshots as [SnapshotInfo, SnapshotInfo];
    const tree = {
      ...rest,
      snapshots: [
        { ...clean, comment: "as launched", size: 1536n * 1024n },
        { ...tried, createdAt: now - 90_000 },
      ],
    };

    it("shows age and size of each snapshot where there is room", () => {
      expect(formatTrees([tree], { width: 80, now })).to.equal(
        [
          "web",
          "└─ clean  as launched     10 d      1.5MiB",
          "   tried  <- now         1 min          --",
          "",
        ].join("\n"),
      );
    });

    it("leaves them out where they do not fit, rather than break the lines", () => {
      expect(formatTrees([tree], { width: 30, now })).to.equal(formatTrees([tree]));
    });
  });
});

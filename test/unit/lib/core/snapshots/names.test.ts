import { expect } from "chai";
import fc from "fast-check";
import {
  checkName,
  isInstanceName,
  nextSnapshot,
  plainName,
} from "../../../../../lib/core/snapshots/names.ts";
import { afterRemoval, planRemoval } from "../../../../../lib/core/snapshots/plan.ts";
import { formatRef, parseRef } from "../../../../../lib/core/snapshots/ref.ts";
import { type Branch, childrenOf, forest } from "../../../../../lib/core/snapshots/tree.ts";
import type { Snapshot, SnapshotTree } from "../../../../../lib/engine/contract.ts";
import { isStrataError } from "../../../../../lib/errors.ts";

const accepts = (name: string) => {
  try {
    checkName("instance", name);
    return true;
  } catch (error) {
    expect(isStrataError(error) && error.code).to.equal("INVALID_NAME");
    return false;
  }
};

describe("names", () => {
  for (const name of ["a", "web", "Web-1", "a--b", `a${"b".repeat(62)}`]) {
    it(`take ${name}`, () => expect(accepts(name)).to.equal(true));
  }
  for (const name of [
    "",
    "1a",
    "-a",
    "a-",
    "a.b",
    "a_b",
    "a b",
    "ä",
    "a\n",
    `a${"b".repeat(63)}`,
    "../x",
    "a/b",
  ]) {
    it(`refuse ${JSON.stringify(name)}`, () => expect(accepts(name)).to.equal(false));
  }

  for (const name of [
    "web01.example.com",
    "proj_default",
    "Windows 11",
    "büro-vm",
    "01",
    "a+b (2)",
    "日本",
  ]) {
    it(`of adopted instances may be ${name}`, () => {
      expect(accepts(name)).to.equal(false);
      expect(isInstanceName(name)).to.equal(true);
      expect(accepts(`${plainName(name)}-clone1`)).to.equal(true);
    });
  }
  for (const name of [
    "",
    "..",
    ".a",
    "-a",
    "a ",
    "a.",
    "a:b",
    "a=b",
    "a/b",
    "a,b",
    "a\nb",
    "a\u202eb",
    'a"b',
  ]) {
    it(`of adopted instances cannot be ${JSON.stringify(name)}`, () => {
      expect(isInstanceName(name)).to.equal(false);
    });
  }

  it("of copies are those of hosts, whatever the original is called", () => {
    const made = ["Windows 11", "büro-vm", "web01.example.com", "01-a_", "日本"].map(plainName);
    expect(made).to.deep.equal(["Windows-11", "buro-vm", "web01-example-com", "a", "instance"]);
  });

  it("count on from the snapshots ever taken, deleted ones included", () => {
    expect(nextSnapshot(0, [])).to.deep.equal({ name: "snapshot1", taken: 1 });
    expect(nextSnapshot(3, ["snapshot1"])).to.deep.equal({ name: "snapshot4", taken: 4 });
  });

  it("pass over a default name that was given by hand", () => {
    expect(nextSnapshot(1, ["snapshot2", "snapshot3"])).to.deep.equal({ name: "snapshot4", taken: 4 });
  });

  it("of snapshots come with their instance", () => {
    expect(parseRef("web")).to.deep.equal({ instance: "web" });
    expect(parseRef("web.clean")).to.deep.equal({ instance: "web", snapshot: "clean" });
    expect(formatRef(parseRef("web.clean"))).to.equal("web.clean");
    expect(parseRef("Büro 1.example.clean")).to.deep.equal({ instance: "Büro 1.example", snapshot: "clean" });
    for (const wrong of ["web.", ".clean", "web.a/b.c", "web.-"]) {
      expect(() => parseRef(wrong)).to.throw("invalid");
    }
  });
});

const node = (name: string, parent: string | null): Snapshot => ({
  name,
  parent,
  comment: "",
  resources: { cpus: 1, memory: 1n, disk: 1n },
  mounts: [],
  nics: [],
  cloudInstanceId: "",
  createdAt: 0,
  size: null,
});

/** Trees as they come about: each new node on one that is there, or on none. */
const trees = fc.array(fc.nat(), { maxLength: 12 }).map((picks): SnapshotTree => {
  const snapshots: Snapshot[] = [];
  for (const [at, pick] of picks.entries()) {
    const parent = pick % (at + 1) === at ? null : (snapshots[pick % (at + 1)]?.name ?? null);
    snapshots.push(node(`s${at}`, parent));
  }
  return { snapshots, standsOn: snapshots.at(-1)?.name ?? null };
});

const flat = (branches: readonly Branch[]): string[] =>
  branches.flatMap(({ name, children }) => [name, ...flat(children)]);

describe("snapshot trees", () => {
  it("draw every snapshot once, below its parent", () => {
    fc.assert(
      fc.property(trees, ({ snapshots }) => {
        expect(flat(forest(snapshots)).sort()).to.deep.equal(snapshots.map(({ name }) => name).sort());
      }),
    );
  });

  it("give the children of a deleted snapshot, and the instance, its parent, whatever is deleted", () => {
    fc.assert(
      fc.property(trees, fc.nat(), (tree, pick) => {
        fc.pre(tree.snapshots.length > 0);
        const gone = tree.snapshots[pick % tree.snapshots.length] as Snapshot;
        const removal = planRemoval(tree, gone.name);
        if (removal === undefined) {
          throw new Error("no plan");
        }
        expect(removal.children).to.deep.equal(childrenOf(tree.snapshots, gone.name));
        const after = afterRemoval(tree, removal);
        for (const { name, parent } of after.snapshots) {
          const before = tree.snapshots.find((each) => each.name === name)?.parent ?? null;
          expect(parent).to.equal(before === gone.name ? gone.parent : before);
        }
        expect(after.snapshots).to.have.length(tree.snapshots.length - 1);
        expect(after.standsOn).to.equal(tree.standsOn === gone.name ? gone.parent : tree.standsOn);
      }),
    );
  });

  it("have no plan for what is not there", () => {
    expect(planRemoval({ snapshots: [], standsOn: null }, "x")).to.equal(undefined);
  });
});

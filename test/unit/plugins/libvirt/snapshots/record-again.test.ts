import { expect } from "chai";
import fc from "fast-check";
import { recordOrder } from "../../../../../plugins/libvirt/snapshots/record-again.ts";

describe("the order in which lost records are recorded", () => {
  it("has every parent before its children", () => {
    const numbers = fc.array(fc.nat(), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(numbers, fc.nat(), (chosen, seed) => {
        // Each snapshot's parent is one of those before it, or none; the map lists them in another order.
        const entries = chosen.map((number, at): [string, string | null] => [
          `s${at}`,
          at === 0 || number % (at + 1) === at ? null : `s${number % at}`,
        ]);
        const turned = [...entries.slice(seed % entries.length), ...entries.slice(0, seed % entries.length)];
        const { order, circular } = recordOrder(new Map(turned.reverse()));
        expect(circular).to.equal(undefined);
        expect([...order].sort()).to.deep.equal(entries.map(([name]) => name).sort());
        for (const [name, parent] of entries) {
          expect(order.indexOf(name)).to.be.above(parent === null ? -1 : order.indexOf(parent));
        }
      }),
    );
  });

  it("takes a parent that is not lost for one that is there", () => {
    expect(recordOrder(new Map([["a", "kept"]]))).to.deep.equal({ order: ["a"], circular: undefined });
  });

  it("names one that would be its own ancestor, and orders the others", () => {
    const parents = new Map<string, string | null>([
      ["a", "b"],
      ["b", "a"],
      ["c", null],
    ]);
    expect(recordOrder(parents)).to.deep.equal({ order: ["c"], circular: "a" });
  });
});

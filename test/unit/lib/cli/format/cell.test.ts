import { expect } from "chai";
import { briefly, columns, displayWidth, printable } from "../../../../../lib/cli/format/cell.ts";
import { graphemes } from "../../../../../lib/cli/format/graphemes.ts";
import { line } from "../../../../../lib/cli/format/line.ts";
import { formatSnapshotList, formatTrees } from "../../../../../lib/cli/format/snapshot-list.ts";
import type { SnapshotInfo } from "../../../../../lib/core/api/strata.ts";

/** What a comment may have at most, in bytes. */
const MIB = 1024 * 1024;
const FAMILY = "👨‍👩‍👧‍👦";

/** A text of 1 MiB in UTF-8 that repeats a part. */
const mibOf = (part: string) => part.repeat(Math.floor(MIB / Buffer.byteLength(part)));

const LONG: Readonly<Record<string, string>> = {
  "emoji joined to families": mibOf(FAMILY),
  flags: mibOf("🇩🇪"),
  "letters with marks": mibOf("e\u0301\u0323"),
  "one letter with half a million marks": `e${"\u0301".repeat(MIB / 2 - 1)}`,
  "marks alone": "\u0301".repeat(MIB / 2),
  "one emoji joined to ever more": mibOf("👩\u200d"),
  "Hangul, wide": mibOf("각"),
  "spaces and a word": `${" ".repeat(MIB - 3)}end`,
  newlines: "\n".repeat(MIB),
  "carriage returns": "\r".repeat(MIB),
  escapes: "\u001b".repeat(MIB),
};

/**
 * Runs a callback and tells how much text the segmenter has copied for it: all of its input for each segment
 * that it gives. Ends it when that is more than a bound, since the square of a MiB takes for ever.
 */
function copiedBy(piece: () => unknown, bound: number): number {
  const { segment } = Intl.Segmenter.prototype;
  let copied = 0;
  Intl.Segmenter.prototype.segment = function (input) {
    const segments = segment.call(this, input);
    return {
      containing: (at?: number) => segments.containing(at),
      *[Symbol.iterator]() {
        for (const each of segments) {
          copied += input.length;
          if (copied > bound) {
            throw new Error(`the segmenter has copied more than ${bound} code units`);
          }
          yield each;
        }
      },
    } as Intl.Segments;
  };
  try {
    piece();
  } finally {
    Intl.Segmenter.prototype.segment = segment;
  }
  return copied;
}

function snapshotOf(comment: string): SnapshotInfo {
  return {
    instance: "web",
    name: "a",
    comment,
    parent: null,
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
}

describe("a text of somebody else's in a table", () => {
  for (const [what, text] of Object.entries(LONG)) {
    it(`is cut before it is looked at: ${what}`, () => {
      const trees = [{ instance: "web", snapshots: [snapshotOf(text)], standsOn: null }];
      // A hundred thousand is what some fifty characters cost; a MiB of text has no part in it.
      copiedBy(() => formatSnapshotList(trees, "table"), 100_000);
      copiedBy(() => formatTrees(trees), 100_000);
      expect(briefly(text).length).to.be.below(5000);
    });

    it(`is measured in time that grows with it, and no faster: ${what}`, () => {
      const some = text.slice(0, MIB / 16);
      copiedBy(() => displayWidth(some), 150 * some.length);
      copiedBy(() => columns([["a", some]]), 150 * some.length);
    });

    it(`is shown whole without a look at its characters: ${what}`, () => {
      copiedBy(() => line("Comment", text.slice(0, MIB / 4)), 0);
    });
  }

  it("is cut between characters as people see them", () => {
    expect(briefly(FAMILY.repeat(51))).to.equal(`${FAMILY.repeat(49)}…`);
    expect(briefly(FAMILY.repeat(50))).to.equal(FAMILY.repeat(50));
    expect(briefly("🇩🇪🇫🇷🇮🇹", 2)).to.equal("🇩🇪…");
    expect(briefly("first\nsecond")).to.equal("first…");
    expect(briefly("first\r\n \n")).to.equal("first");
  });

  it("is split like a segmenter splits the whole, wherever its pieces meet", () => {
    const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });
    const parts = [FAMILY, "🇩🇪", "e\u0301\u0323", "각", "a", "\r\n", "👍🏽", "𝒳"];
    for (let shift = 0; shift < 40; shift++) {
      const text = `${"x".repeat(shift)}${parts.join("").repeat(40)}`;
      expect([...graphemes(text)]).to.deep.equal(
        [...segmenter.segment(text)].map(({ segment }) => segment),
        `shifted by ${shift}`,
      );
    }
  });

  it("loses nothing and no half of a character where one is too long to be one", () => {
    const text = `👩${"\u200d👩".repeat(1000)}`;
    const found = [...graphemes(text)];
    expect(found.join("")).to.equal(text);
    expect(found.filter((each) => /\p{Surrogate}/u.test(each))).to.deep.equal([]);
  });

  it("does not widen the rows of others when it is in the last column", () => {
    expect(
      columns([
        ["a", "x".repeat(1000)],
        ["b", "y"],
      ]).split("\n")[1],
    ).to.equal("b   y");
    expect(printable("\u001b[31m")).to.equal("^[[31m");
  });
});

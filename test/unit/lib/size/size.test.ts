import { expect } from "chai";
import fc from "fast-check";
import { isStrataError } from "../../../../lib/errors.ts";
import { exactSize, formatSize } from "../../../../lib/size/format.ts";
import { parseSize } from "../../../../lib/size/parse.ts";

describe("sizes", () => {
  for (const [text, bytes] of [
    ["1", 1n],
    ["1024", 1024n],
    ["1K", 1024n],
    ["1kb", 1024n],
    ["1KiB", 1024n],
    ["512M", 536870912n],
    ["1.5G", 1610612736n],
    ["0.5k", 512n],
    ["1.0001K", 1024n],
    ["1.999K", 2046n],
    ["2gib", 2147483648n],
  ] as const) {
    it(`${text} is ${bytes} bytes`, () => expect(parseSize("disk", text)).to.equal(bytes));
  }

  for (const text of [
    "",
    "0",
    "1.5",
    "1.1B",
    "-1",
    "1T",
    "G",
    "1 G B",
    "1e3",
    "0x10",
    "1,5G",
    "0.0001K",
    "NaN",
    "1.G",
    ".5G",
  ]) {
    it(`${JSON.stringify(text)} is refused`, () => {
      expect(() => parseSize("disk", text))
        .to.throw()
        .and.to.satisfy((error: unknown) => isStrataError(error) && error.code === "INVALID_SIZE");
    });
  }

  it("of whole units come out the same in any spelling", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e9 }), fc.constantFrom("K", "M", "G"), (count, unit) => {
        const expected = parseSize("disk", `${count}${unit}`);
        for (const spelling of [unit.toLowerCase(), `${unit}B`, `${unit}iB`, `${unit}b`]) {
          expect(parseSize("disk", `${count}${spelling}`)).to.equal(expected);
          expect(parseSize("disk", `${count}.0${spelling}`)).to.equal(expected);
        }
      }),
    );
  });

  it("that are typed back are read as what they were", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: 2n ** 60n }), (bytes) => {
        expect(parseSize("disk", exactSize(bytes).replace(" bytes", ""))).to.equal(bytes);
      }),
    );
    expect([127n << 20n, 5n << 30n, 1000n, 0n].map(exactSize).join()).to.equal("127M,5G,1000 bytes,0 bytes");
  });

  it("are shown to people with one decimal", () => {
    const sizes = [0n, 1023n, 1024n, 1024n ** 2n - 1n, 1610612736n, 5n * 1024n ** 3n];
    const shown = ["0B", "1023B", "1.0KiB", "1.0MiB", "1.5GiB", "5.0GiB"];
    expect(sizes.map(formatSize)).to.deep.equal(shown);
  });
});

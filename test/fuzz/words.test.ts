import { expect } from "chai";
import { execa } from "execa";
import fc from "fast-check";
import { briefly, columns, printable } from "../../lib/cli/format/cell.ts";
import { readProbe } from "../../lib/core/instances/info.ts";
import { checkInstanceName, checkName } from "../../lib/core/snapshots/names.ts";
import { parseRef } from "../../lib/core/snapshots/ref.ts";
import { asStrataError, isStrataError } from "../../lib/errors.ts";
import { checkUserData } from "../../lib/guest/user-data.ts";
import { parseImageName } from "../../lib/images/image-name.ts";
import { parseSize } from "../../lib/size/parse.ts";
import { quote } from "../../lib/util/quote.ts";
import { runs } from "./runs.ts";

/** Anything a user may type, or that may come from elsewhere: all of Unicode, controls and halves of pairs. */
const anything = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: "grapheme" }),
  fc.string({ unit: fc.constantFrom(..."\0\n\r\t\u001b[]<>&'\"/\\.-:;$`|*?{}\u202e\ud800é🜲".split("")) }),
  fc.constantFrom("..", "../../etc/passwd", "-", "--", "a.b.c", "__proto__", "constructor", "x".repeat(5000)),
);

/** What a callback returns, or the code of the error that it refuses with; any other error goes on. */
function outcome<T>(work: () => T): { value: T } | { code: string } {
  try {
    return { value: work() };
  } catch (error) {
    if (!isStrataError(error) || error.code === "INTERNAL") {
      throw error;
    }
    return { code: error.code };
  }
}

const LETTERS = [..."abcXYZ"];
const INNER = [..."aZ09-"];
const goodName = fc
  .tuple(
    fc.constantFrom(...LETTERS),
    fc.string({ unit: fc.constantFrom(...INNER), maxLength: 61 }),
    fc.constantFrom(..."aZ09"),
  )
  .map((parts) => parts.join(""));

describe("words of any kind", () => {
  it("names: those by the rule are taken, all others are refused by name", () => {
    fc.assert(
      fc.property(goodName, (name) => {
        expect(outcome(() => checkName("instance", name))).to.deep.equal({ value: undefined });
      }),
      runs(),
    );
    const allowed = (name: string) =>
      name.length >= 1 &&
      name.length <= 63 &&
      [...name].every(
        (each) => "abcdefghijklmnopqrstuvwxyz0123456789-".includes(each.toLowerCase()) && each < "\u0080",
      ) &&
      !"0123456789-".includes(name[0] ?? "-") &&
      !name.endsWith("-");
    fc.assert(
      fc.property(anything, (name) => {
        expect("value" in outcome(() => checkName("snapshot", name))).to.equal(allowed(name));
      }),
      runs(),
    );
  });

  it("references: whatever is taken has names by the rule", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          anything,
          fc.tuple(goodName, anything).map((parts) => parts.join(".")),
        ),
        (text) => {
          const found = outcome(() => parseRef(text));
          if ("code" in found) {
            expect(found.code).to.equal("INVALID_NAME");
            return;
          }
          checkInstanceName(found.value.instance);
          if (found.value.snapshot !== undefined) {
            checkName("snapshot", found.value.snapshot);
          }
        },
      ),
      runs(),
    );
  });

  it("sizes: right ones by the arithmetic of whole numbers, all others refused", () => {
    const unit = fc.constantFrom(
      ["K", 1n],
      ["kb", 1n],
      ["KiB", 1n],
      ["m", 2n],
      ["MB", 2n],
      ["g", 3n],
      ["GiB", 3n],
    );
    fc.assert(
      fc.property(
        fc.bigInt(0n, 10n ** 9n),
        fc.bigInt(0n, 999n),
        unit,
        (whole, thousandths, [name, power]) => {
          const bytes = ((whole * 1000n + thousandths) * 1024n ** BigInt(power)) / 1000n;
          const text = `${whole}.${String(thousandths).padStart(3, "0")}${name}`;
          expect(outcome(() => parseSize("disk", text))).to.deep.equal(
            bytes > 0n ? { value: bytes } : { code: "INVALID_SIZE" },
          );
        },
      ),
      runs(),
    );
    fc.assert(
      fc.property(anything, (text) => {
        const found = outcome(() => parseSize("memory", text));
        if ("code" in found) {
          expect(found.code).to.equal("INVALID_SIZE");
        } else {
          expect(found.value > 0n).to.equal(true);
        }
      }),
      runs(),
    );
  });

  it("images: a name is read or refused as a value", () => {
    const urls = fc.tuple(fc.constantFrom("file://", "http://", "HTTPS://", "ftp://", "file:///"), anything);
    fc.assert(
      fc.property(
        fc.oneof(
          anything,
          urls.map((parts) => parts.join("")),
        ),
        (text) => {
          const found = outcome(() => parseImageName(text));
          if ("code" in found) {
            expect(found.code).to.equal("INVALID_VALUE");
          }
        },
      ),
      runs(),
    );
  });

  it("cloud-init data: taken or refused as a value", async () => {
    const part = "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/cloud-config\n";
    const data = fc.oneof(
      anything,
      anything.map((text) => `#cloud-config\n${text}`),
      anything.map((text) => `Content-Type: ${text}`),
      anything.map((text) => `${part}\n${text}\n--b--\n`),
      anything.map((text) => `${part}${text}`),
    );
    await fc.assert(
      fc.asyncProperty(data, async (text) => {
        const found = await checkUserData(text).then(() => undefined, asStrataError);
        if (found !== undefined) {
          expect(found.code).to.equal("INVALID_VALUE");
        }
      }),
      runs(),
    );
  });

  it("what a guest tells of itself: numbers where they are, nothing where they are not", () => {
    fc.assert(
      fc.property(anything, (text) => {
        const { load, memory, disk } = readProbe(text);
        for (const value of load) {
          expect(value).to.be.finite;
        }
        for (const usage of [memory, disk]) {
          if (usage !== null) {
            expect(usage.total >= 0n).to.equal(true);
          }
        }
      }),
      runs(),
    );
  });

  it("output: nothing that a terminal would obey, whatever the text", () => {
    const obeyed = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/;
    fc.assert(
      fc.property(anything, fc.nat(60), (text, width) => {
        expect(printable(text)).not.to.match(obeyed);
        expect(briefly(text, width + 1))
          .not.to.match(/[\n\t]/)
          .and.not.to.match(obeyed);
        expect(columns([["a", printable(text)]]).endsWith("\n")).to.equal(true);
      }),
      runs(),
    );
  });

  it("arguments: a shell reads each word back as it was", async () => {
    const word = anything.filter((text) => !text.includes("\0") && Buffer.from(text).toString() === text);
    const words = fc.sample(word, runs());
    // One shell for all: starting one for each would take all the time.
    const script = words.map((each) => `printf '%s\\0' ${quote(each)}`).join("\n");
    const { stdout } = await execa("sh", [], { input: script, stripFinalNewline: false });
    expect(stdout.split("\0").slice(0, -1)).to.deep.equal(words);
  });
});

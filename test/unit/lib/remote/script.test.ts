import { expect } from "chai";
import { execa } from "execa";
import fc from "fast-check";
import { farScript } from "../../../../lib/remote/script.ts";
import { quote } from "../../../../lib/util/quote.ts";

describe("what a login shell on another host is given", () => {
  it("is read back by shells as it was, whatever its words are", async () => {
    const words = [
      "",
      "plain",
      "two words",
      "it's",
      "''",
      '"',
      "\\",
      "\\'\\\\",
      "$(touch x) `id` $HOME",
      "a\nb\tc",
      "*?[]{}~!#&;|<>()",
      "-oProxyCommand=x",
      "größe \u{1f680}",
    ];
    for (const shell of ["sh", "bash"]) {
      const { stdout } = await execa(shell, ["-c", farScript('printf "%s\\0" "$@"', ...words)]);
      expect(stdout.split("\0").slice(0, -1), shell).to.deep.equal(words);
    }
  });

  it("keeps each of many random words one word", async () => {
    const word = fc
      .string({ unit: "binary" })
      .map((text) => text.replace(/[\ud800-\udfff]/gu, "").replaceAll("\0", ""));
    const words = fc.sample(word, { numRuns: 500, seed: 1 });
    const { stdout } = await execa("sh", ["-c", `printf "%s\\0" ${words.map(quote).join(" ")}`]);
    expect(stdout.split("\0").slice(0, -1)).to.deep.equal(words);
  });

  it("has no backslash and no quote within quotes, which fish would read otherwise", () => {
    expect(quote("a\\b'c d")).to.equal("'a'\\\\'b'\\''c d'");
  });
});

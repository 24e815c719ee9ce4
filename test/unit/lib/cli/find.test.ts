import { readFile } from "node:fs/promises";
import { expect } from "chai";
import { formatFind } from "../../../../lib/cli/format/find.ts";
import { FORMATS } from "../../../../lib/cli/format/format.ts";
import type { ImageOffers } from "../../../../lib/core/api/strata.ts";

const offers: ImageOffers = {
  images: [
    {
      name: "24.04",
      aliases: ["noble", "lts"],
      os: "Ubuntu",
      release: "24.04 LTS",
      remote: "",
      version: "20260821",
    },
    {
      name: "daily:26.10",
      aliases: ["devel"],
      os: "Ubuntu",
      release: "26.10",
      remote: "daily",
      version: "20261120.1",
    },
    {
      name: "lab:odd",
      aliases: [],
      os: 'O"S',
      release: "1,\u001b[31m2",
      remote: "lab",
      version: "7",
    },
  ],
  errors: ['download of "https://lab.example/" failed'],
};

const golden = (format: string) =>
  readFile(new URL(`../../../fixtures/golden/find.${format}`, import.meta.url), "utf8");

describe("the output of find", () => {
  for (const format of FORMATS) {
    it(`is in ${format} as it always was`, async () => {
      expect(formatFind(offers, format)).to.equal(await golden(format));
    });
  }

  it("says so where there is nothing", () => {
    expect(formatFind({ images: [], errors: [] }, "table")).to.equal("No images found.\n");
    expect(JSON.parse(formatFind({ images: [], errors: [] }, "json"))).to.deep.equal({
      errors: [],
      images: {},
    });
  });
});

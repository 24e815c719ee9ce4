import { expect } from "chai";
import { isStrataError } from "../../../../lib/errors.ts";
import { checkIdMaps, parseIdMap } from "../../../../lib/mounts/id-map.ts";

function reason(work: () => unknown): string {
  try {
    work();
    return "accepted";
  } catch (error) {
    if (!isStrataError(error) || error.code !== "INVALID_VALUE") {
      throw error;
    }
    return String(error.details.reason);
  }
}

describe("an id map", () => {
  it("is the host's id and the guest's", () => {
    expect(parseIdMap("--uid-map", "1001:1000")).to.deep.equal({ host: 1001, guest: 1000 });
    expect(parseIdMap("--uid-map", "0:4294967294")).to.deep.equal({ host: 0, guest: 4294967294 });
  });

  it("is nothing else", () => {
    for (const text of [
      "",
      "1",
      "1:",
      ":1",
      "1:2:3",
      "-1:1",
      "a:b",
      "1: 2",
      "4294967295:1",
      "1:99999999999",
      "1.0:1",
    ]) {
      expect(
        reason(() => parseIdMap("--uid-map", text)),
        text,
      ).to.contain("such as 1000:1000");
    }
  });

  it("is one to one, and says which id is given twice", () => {
    const maps = (...texts: string[]) => texts.map((text) => parseIdMap("--uid-map", text));
    expect(reason(() => checkIdMaps("-u", maps("1:2", "2:1", "3:3")))).to.equal("accepted");
    expect(reason(() => checkIdMaps("-u", maps("1:2", "1:3")))).to.contain("host id 1");
    expect(reason(() => checkIdMaps("-u", maps("1:2", "3:2")))).to.contain("guest id 2");
    expect(reason(() => checkIdMaps("-u", maps("1:2", "1:2")))).to.contain("is already mapped");
  });
});

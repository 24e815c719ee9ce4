import { expect } from "chai";
import fc from "fast-check";
import {
  mergeRecord,
  parseRecord,
  RECORD_VERSION,
  stringifyRecord,
} from "../../../../lib/engine/contract.ts";

describe("the JSON of records", () => {
  const value = fc.letrec((tie) => ({
    value: fc.oneof(
      fc.string(),
      fc.constantFrom("bigint:12", '{"$bigint":"1"}', "12n"),
      fc.bigInt(),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie("value"), { maxLength: 3 }),
      fc.dictionary(fc.oneof(fc.string(), fc.constantFrom("$bigint", "$$bigint", "bigint")), tie("value"), {
        maxKeys: 3,
        noNullPrototype: true,
      }),
    ),
  })).value;

  it("gives back every text, bigint and object as it was", () => {
    const property = fc.property(value, (given) => {
      expect(parseRecord(stringifyRecord(given))).to.deep.equal(given);
    });
    fc.assert(property);
  });

  it("shows a bigint as such to whoever reads the file", () => {
    expect(stringifyRecord({ disk: 12n, comment: "12" })).to.equal(
      '{"disk":{"$bigint":"12"},"comment":"12"}',
    );
  });
});

describe("a change of a record", () => {
  it("leaves members alone that are undefined", () => {
    const record = {
      version: RECORD_VERSION,
      image: { sha256: "", release: "", os: "" },
      username: "ubuntu",
      deleted: false,
      snapshotsTaken: 1,
      cloudInstanceId: "i-1",
      createdAt: 1,
      hostKey: "ssh-ed25519 AAAA",
    };
    const change = { deleted: true, hostKey: undefined } as never;
    expect(mergeRecord(record, change)).to.deep.equal({ ...record, deleted: true });
  });
});

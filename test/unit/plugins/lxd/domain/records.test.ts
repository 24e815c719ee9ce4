import { expect } from "chai";
import { RECORD_VERSION } from "../../../../../lib/engine/contract.ts";
import {
  KEYS,
  mountKeys,
  operationKeys,
  ownKeys,
  readMounts,
  readOperation,
  readOwn,
  readSnapshotRecord,
  readTree,
  snapshotKeys,
  treeKeys,
} from "../../../../../plugins/lxd/domain/records.ts";
import { thrownCode } from "../../../../support/thrown-code.ts";

const record = {
  version: RECORD_VERSION,
  image: { sha256: "ab", release: "12", os: "Debian" },
  username: "ubuntu",
  deleted: false,
  snapshotsTaken: 3,
  cloudInstanceId: "i-1",
  createdAt: 1_700_000_000_123,
};

describe("records in the config of LXD", () => {
  it("are read as they were written, members of a newer strata included", () => {
    const newer = { ...record, shutdownAt: 5, somethingNew: ["kept"] };
    expect(readOwn("web", ownKeys({ id: "u", record: newer }))).to.deep.equal({ id: "u", record: newer });
  });

  it("keep a comment of any characters", () => {
    for (const comment of [
      "",
      '"\\',
      "\n\u0000\u001f\u007f",
      "ü 🦊 \u2028",
      "\ud800",
      "</config>",
      "x".repeat(5000),
    ]) {
      const taken = { ...record, name: "s", parent: null, comment, mounts: [], nics: [] };
      const config = snapshotKeys("id", { ...taken, resources: { cpus: 1, memory: 1n, disk: 1n } }, "p");
      const { cloudInstanceId, createdAt } = record;
      const expected = { id: "id", comment, parent: "p", cloudInstanceId, createdAt };
      expect(readSnapshotRecord("web.s", config)).to.deep.equal(expected);
    }
  });

  it("tell of a rename in the word of versions before 0.2 as well", () => {
    const rename = { kind: "rename", id: "s", to: "clean" } as const;
    expect(readOperation("web", operationKeys(rename))).to.deep.equal(rename);
    const old = { "user.strata.operation": JSON.stringify({ ...rename, kind: "amend" }) };
    expect(readOperation("web", old)).to.deep.equal(rename);
  });

  it("are told from those of a container that is not strata's, by one key alone", () => {
    expect(readOwn("web", { "user.strata.tree": "{}", "user.other": "x" })).to.equal(undefined);
    expect(readOwn("web", {})).to.equal(undefined);
  });

  it("are refused when they are too new, and when they cannot be read; the key is named", () => {
    const tooNew = ownKeys({ id: "u", record: { ...record, version: RECORD_VERSION + 1 } });
    expect(thrownCode(() => readOwn("web", tooNew))).to.equal("RECORD_TOO_NEW");
    for (const text of ["{", "[]", '{"version":1}']) {
      expect(thrownCode(() => readOwn("web", { [KEYS.instance]: text }))).to.equal("RECORDS_DIFFER");
    }
    expect(thrownCode(() => readTree("web", { [KEYS.tree]: '{"standsOn":7}' }))).to.equal("RECORDS_DIFFER");
    expect(thrownCode(() => readOperation("web", { [KEYS.operation]: '{"kind":"other"}' }))).to.equal(
      "RECORDS_DIFFER",
    );
  });

  it("stand for nothing where they are absent, and are removed by an empty value", () => {
    expect(readTree("web", {})).to.deep.equal({ standsOn: null, amended: {} });
    expect(readMounts("web", {})).to.deep.equal([]);
    expect(readOperation("web", operationKeys(null))).to.equal(undefined);
    expect(mountKeys([])).to.deep.equal({ [KEYS.mounts]: "" });
  });

  it("keep notes and trees", () => {
    const tree = { standsOn: "b", amended: { b: { parent: null, comment: "c" }, c: { parent: "b" } } };
    expect(readTree("web", treeKeys(tree))).to.deep.equal(tree);
    const note = { kind: "delete", id: "a", tree } as const;
    expect(readOperation("web", operationKeys(note))).to.deep.equal(note);
  });
});

import { expect } from "chai";
import fc from "fast-check";
import { readOperation } from "../../../../../plugins/libvirt/journal/entry.ts";
import { readEntry } from "../../../../../plugins/libvirt/journal/journal.ts";

const MERGE = { kind: "merge", layer: "/f/layer-b.qcow2", child: "/f/layer-c.qcow2", target: "" };
const note = (operation: unknown, more: object = {}) => JSON.stringify({ version: 1, operation, ...more });

describe("an entry of the journal", () => {
  it("comes back as it was written, with how often it was refused", () => {
    expect(readEntry(note(MERGE, { refusals: 1 }))).to.deep.equal({ operation: MERGE, refusals: 1 });
  });

  it("of a newer version, or of an operation that is not known, says so", () => {
    for (const text of [
      JSON.stringify({ version: 3, operation: MERGE }),
      note({ kind: "teleport" }),
      note({ kind: "constructor" }),
    ]) {
      expect(readEntry(text).operation, text).to.include({ kind: "unusable", code: "RECORD_TOO_NEW" });
    }
  });

  it("that lacks a member, or has one that is no text, is broken", () => {
    const { layer: _, ...lacking } = MERGE;
    for (const operation of [lacking, { ...MERGE, target: 3 }, { kind: 7 }, {}, null, [], "merge"]) {
      expect(readEntry(note(operation)).operation, JSON.stringify(operation)).to.include({
        kind: "unusable",
        code: "RECORDS_DIFFER",
      });
    }
  });

  it("of several disks comes back, and names each of them whole", () => {
    const disk = { target: "vdc", file: "/f/layer-d.qcow2", old: "", stamp: "" };
    const restore = { kind: "restore", name: "a", file: "/f/b", old: "/f/a", disks: [disk] };
    expect(readEntry(JSON.stringify({ version: 2, operation: restore })).operation).to.deep.equal(restore);
    const { old: _, ...lacking } = disk;
    for (const disks of [[lacking], [{ ...disk, stamp: 1 }], disk, "vdc", [null]]) {
      const { operation } = readEntry(JSON.stringify({ version: 2, operation: { ...restore, disks } }));
      expect(operation, JSON.stringify(disks)).to.include({ kind: "unusable", code: "RECORDS_DIFFER" });
    }
  });

  it("is read whatever is in the file", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        const { operation, refusals } = readEntry(text);
        expect(operation.kind).to.be.a("string");
        expect(refusals).to.be.a("number");
      }),
    );
  });

  it("of an earlier version, whose deletions name no layer, is one still", () => {
    expect(readOperation({ kind: "delete", name: "a" })).to.deep.equal({ kind: "delete", name: "a" });
  });
});

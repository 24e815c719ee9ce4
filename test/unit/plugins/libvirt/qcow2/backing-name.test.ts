import { expect } from "chai";
import { filesOfBackingName } from "../../../../../plugins/libvirt/qcow2/backing-name.ts";

describe("the name of a backing file", () => {
  const cases: readonly (readonly [name: string, files: readonly string[]])[] = [
    ["/a/b.qcow2", ["/a/b.qcow2"]],
    ["b.qcow2", ["/home/b.qcow2"]],
    ["../b:c.qcow2", ["/b:c.qcow2"]],
    ["/a/b:c.qcow2", ["/a/b:c.qcow2"]],
    ["file:/a/b.qcow2", ["/a/b.qcow2"]],
    ["file:b.qcow2", ["/b.qcow2"]],
    ["nbd:127.0.0.1:10809", []],
    ["nbd://127.0.0.1/a", []],
    ['json:{"file":{"filename":"/a/b.qcow2"}}', ["/a/b.qcow2"]],
    ['json:{"driver":"qcow2","file":{"driver":"file","filename":"/a/b.qcow2"}}', ["/a/b.qcow2"]],
    ['json:{"driver":"qcow2","file.driver":"file","file.filename":"/a/b.qcow2"}', ["/a/b.qcow2"]],
    ['json:{"driver":"file","filename":"a/b.raw"}', ["/a/b.raw"]],
    [
      'json:{"driver":"qcow2","backing":{"file":{"filename":"/c"}},"file":{"driver":"file","filename":"/a"}}',
      ["/a", "/c"],
    ],
    ['json:{"driver":"qcow2","backing.file.filename":"/c","file.filename":"/a"}', ["/a", "/c"]],
    ['json:{"driver":"qcow2","backing":"node","file":{"filename":"/a"}}', ["/a"]],
    ['json:{"driver":"nbd","server":{"type":"unix","path":"/run/nbd"}}', []],
    ["json:{", []],
    ["json:null", []],
  ];
  for (const [name, files] of cases) {
    it(`${name} means ${files.join(" and ") || "no file"}`, () => {
      expect(filesOfBackingName(name, "/home")).to.deep.equal(files);
    });
  }
});

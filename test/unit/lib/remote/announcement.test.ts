import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { expect } from "chai";
import { Announcement } from "../../../../lib/remote/announcement.ts";

/** What is passed on of these pieces, and the group that is announced. */
async function passed(...pieces: string[]) {
  const announcement = new Announcement("mark");
  const to = new PassThrough();
  await announcement.passOn(Readable.from(pieces.map((piece) => Buffer.from(piece))), to);
  to.end();
  return [await text(to), await announcement.group.catch(() => undefined)];
}

describe("the announcement of a process group", () => {
  it("is taken out of a standard error, however that is cut into pieces", async () => {
    expect(await passed("mark 42\nlist\n")).to.deep.equal(["list\n", 42]);
    expect(await passed("motd\nma", "rk 4", "2", "\n", "é")).to.deep.equal(["motd\né", 42]);
  });

  it("is one line of its own, and the first only", async () => {
    expect(await passed("x mark 42\nmark 4x\nmark 7\nmark 8\n")).to.deep.equal([
      "x mark 42\nmark 4x\nmark 8\n",
      7,
    ]);
  });

  it("does not hold back what has no announcement", async () => {
    expect(await passed("sh: not", " found")).to.deep.equal(["sh: not found", undefined]);
  });
});

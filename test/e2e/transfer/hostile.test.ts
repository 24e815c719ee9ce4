import { mkdir, rm, stat } from "node:fs/promises";
import { expect } from "chai";
import type tar from "tar-stream";
import { archive, refusal, type TransferRoom, transferRoom } from "../../support/guest/transfer-room.ts";

const folder = { name: "./", type: "directory" } as const;

describe("a transfer from a guest that means harm", () => {
  let at: TransferRoom;
  beforeEach(async () => {
    at = await transferRoom();
  });
  afterEach(() => at[Symbol.asyncDispose]());

  it("writes nowhere else, whatever a guest sends", async () => {
    await mkdir(at.path("outside"));
    await at.write("outside/file", "mine");
    const out = at.path("outside");
    for (const entries of [
      [folder, { name: "../outside/file", content: "evil" }],
      [folder, { name: "./a/../../outside/file", content: "evil" }],
      [folder, { name: `${out}/file`, content: "evil" }],
      [folder, { name: "./link", type: "symlink", linkname: out }, { name: "./link/file", content: "evil" }],
      [
        folder,
        { name: "./link", type: "symlink", linkname: out },
        { name: "./link/", type: "directory", mode: 0o777 },
      ],
      [
        folder,
        { name: "./link", type: "symlink", linkname: `${out}/file` },
        { name: "./link", content: "evil" },
      ],
      [folder, { name: "./hard", type: "link", linkname: `${out}/file` }],
      [folder, { name: "./f", content: "x" }, { name: "./f/file", content: "evil" }],
      [folder, { name: "./dev", type: "character-device", devmajor: 1, devminor: 3 }],
      [folder, { name: "./unannounced/file", content: "evil" }],
      [{ name: "link", type: "symlink", linkname: out }],
    ] satisfies (tar.Headers & { content?: string })[][]) {
      await at.guestSends(await archive(...entries));
      const before = (await stat(out)).mode;
      for (const target of [{ path: at.path("host/copy") }, { instance: "db", path: "copy" }]) {
        const work = at.strata.guest.transfer([{ instance: "web", path: "." }], target, { recursive: true });
        expect((await refusal(work)).code, JSON.stringify(entries)).to.match(/^TRANSFER_(UNSAFE|FAILED)$/);
      }
      expect(await at.tree("outside")).to.deep.equal(["file"]);
      expect(await at.read("outside/file")).to.equal("mine");
      expect((await stat(out)).mode).to.equal(before);
      await rm(at.path("host/copy"), { recursive: true, force: true });
    }
  });

  it("writes through no link that an earlier transfer brought", async () => {
    await mkdir(at.path("outside"));
    await at.write("outside/file", "mine");
    const links = [
      { name: "./file", type: "symlink", linkname: at.path("outside/file") },
      { name: "./folder", type: "symlink", linkname: at.path("outside") },
    ] as const;
    const get = async (...entries: (tar.Headers & { content?: string })[]) => {
      await at.guestSends(await archive(folder, ...entries));
      await at.strata.guest.transfer(
        [{ instance: "web", path: "/srv/." }],
        { path: at.path("host") },
        { recursive: true },
      );
    };
    await get(...links);
    await get({ name: "./file", content: "theirs" });
    expect(await at.read("host/file")).to.equal("theirs");
    const through = get({ name: "./folder", type: "directory" }, { name: "./folder/file", content: "evil" });
    expect((await refusal(through)).code).to.equal("TRANSFER_FAILED");
    expect(await at.read("outside/file")).to.equal("mine");
  });

  it("takes no setuid bit along", async () => {
    await at.guestSends(await archive(folder, { name: "./root", mode: 0o6755, content: "x" }));
    await at.strata.guest.transfer(
      [{ instance: "web", path: "." }],
      { path: at.path("host/got") },
      { recursive: true },
    );
    expect((await stat(at.path("host/got/root"))).mode & 0o7777).to.equal(0o755);
  });
});

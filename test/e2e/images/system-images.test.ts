import { appendFile, chmod, chown, mkdir, readFile, rename, stat, symlink } from "node:fs/promises";
import { dirname } from "node:path";
import { expect } from "chai";
import {
  contextOf,
  type ImageRoom,
  imageRoom,
  makeImage,
  refusal,
  sha256,
} from "../../support/images/images.ts";

const NOBODY = 65_534;

describe("images for all users", () => {
  let room: ImageRoom;
  let hash: string;
  beforeEach(async () => {
    room = await imageRoom();
    await makeImage(room.path("guest.qcow2"), "8M");
    hash = sha256(await readFile(room.path("guest.qcow2")));
  });
  afterEach(() => room[Symbol.asyncDispose]());

  const add = () =>
    room.store.import(room.path("guest.qcow2"), { name: "golden", system: true }, contextOf());
  const launch = () => room.store.resolve("golden", contextOf());

  it("can be read by all and are launched by their names, without a copy of the user's own", async () => {
    expect(await add()).to.deep.include({ sha256: hash, aliases: ["golden"], system: true });
    const { source } = await launch();
    expect(source.path).to.equal(`${room.system}/${hash}.qcow2`);
    const modes = [source.path, source.path.replace(/qcow2$/, "json"), room.system];
    const found = await Promise.all(modes.map(async (path) => ((await stat(path)).mode & 0o777).toString(8)));
    expect(found).to.deep.equal(["644", "644", "755"]);
    expect((await room.cached()).filter((file) => file.endsWith(".qcow2"))).to.deep.equal([]);
  });

  it("are listed beside the user's own, and removed where that is meant", async () => {
    await add();
    await makeImage(room.path("own.qcow2"), "9M");
    await room.store.import(room.path("own.qcow2"), {}, contextOf());
    const listed = (await room.store.list()).map(({ aliases, system }) => `${aliases} ${system}`);
    expect(listed.sort()).to.deep.equal(["golden true", "own false"]);
    expect((await refusal(room.store.remove(["golden"]))).code).to.equal("USAGE");
    expect((await refusal(room.store.remove(["own"], { system: true }))).code).to.equal("USAGE");
    await room.store.rename("golden", "base", { system: true }, contextOf());
    await room.store.remove(["base"], { system: true });
    expect((await room.store.list()).map(({ aliases }) => aliases.join())).to.deep.equal(["own"]);
  });

  it("are refused when a file is not what its record says", async () => {
    const { source } = await add().then(launch);
    await launch();
    await appendFile(source.path, "x");
    expect((await refusal(launch())).code).to.equal("IMAGE_ALTERED");
  });

  const untrusted: Record<string, (path: string) => Promise<unknown>> = {
    "the folder can be written by others": () => chmod(room.system, 0o777),
    "the folder can be written by a group": () => chmod(room.system, 0o775),
    "the folder belongs to another user": () => chown(room.system, NOBODY, NOBODY),
    "a folder above it can be written by others": () => chmod(dirname(room.system), 0o777),
    "a folder above it belongs to another user": () => chown(dirname(room.system), NOBODY, NOBODY),
    "it is a link into such a folder": async () => {
      await mkdir(room.path("open"), { mode: 0o777 });
      await chmod(room.path("open"), 0o777);
      await rename(room.system, room.path("open/images"));
      await symlink(room.path("open/images"), room.system);
    },
    "a file can be written by others": (path) => chmod(path, 0o666),
    "a file belongs to another user": (path) => chown(path, NOBODY, NOBODY),
    "a file is a link": async (path) => {
      await rename(path, room.path("moved"));
      await symlink(room.path("moved"), path);
    },
    "a record can be written by others": (path) => chmod(path.replace(/qcow2$/, "json"), 0o666),
  };
  for (const [what, make] of Object.entries(untrusted)) {
    it(`are not used where ${what}`, async () => {
      const { source } = await add().then(launch);
      await make(source.path);
      expect(await room.store.list()).to.deep.equal([]);
      expect(
        (await refusal(room.store.rename("golden", "base", { system: true }, contextOf()))).code,
      ).to.be.oneOf(["IMAGE_STORE_UNUSABLE", "IMAGE_NOT_FOUND"]);
    });
  }

  it("may lie behind a link that root made", async () => {
    await add();
    await rename(room.system, room.path("elsewhere"));
    await symlink(room.path("elsewhere"), room.system);
    expect((await launch()).source.path).to.equal(`${room.path("elsewhere")}/${hash}.qcow2`);
  });
});

import { readFile } from "node:fs/promises";
import { expect } from "chai";
import { type CatalogueLab, disk, labForEach } from "../../support/images/catalogue-lab.ts";
import { contextOf, makeImage, refusal, sha256 } from "../../support/images/images.ts";

describe("images that the user keeps", () => {
  let lab: CatalogueLab;
  labForEach((each) => {
    lab = each;
  });

  const add = (file: string, name?: string) =>
    lab.room.store.import(lab.room.path(file), name === undefined ? {} : { name }, contextOf());
  const pull = (name: string) => lab.room.store.pull(name, {}, contextOf());
  const rename = (image: string, name: string) => lab.room.store.rename(image, name, {}, contextOf());
  const names = async () => (await lab.room.store.list()).map(({ aliases }) => aliases.join(",")).sort();

  async function file(name: string, size = "8M"): Promise<string> {
    await makeImage(lab.room.path(name), size);
    return sha256(await readFile(lab.room.path(name)));
  }

  it("are launched by the name that they were given, and by that of their file", async () => {
    const hash = await file("guest.qcow2");
    expect(await add("guest.qcow2", "golden")).to.deep.include({ sha256: hash, aliases: ["golden"] });
    expect((await lab.resolve("golden")).source.sha256).to.equal(hash);
    const other = await file("other.qcow2", "9M");
    expect((await add("other.qcow2")).aliases).to.deep.equal(["other"]);
    expect((await lab.resolve("other")).source.sha256).to.equal(other);
    expect((await lab.find({ text: "golden" })).images.map(({ name }) => name)).to.deep.equal(["golden"]);
  });

  it("may be added again, with a further name, and give no name away", async () => {
    await file("guest.qcow2");
    await add("guest.qcow2", "golden");
    await add("guest.qcow2", "golden");
    expect((await add("guest.qcow2", "silver")).aliases).to.deep.equal(["golden", "silver"]);
    await file("other.qcow2", "9M");
    expect((await refusal(add("other.qcow2", "golden"))).code).to.equal("IMAGE_EXISTS");
    expect(await names(), "nothing of the refused one is kept").to.deep.equal(["golden,silver"]);
    expect((await add("other.qcow2")).aliases).to.deep.equal(["other"]);
  });

  it("have no names that mean something else", async () => {
    await file("guest.qcow2");
    for (const name of ["debian", "default", "blank", "abcdef", "a.qcow2", "a:b", "./a", "A", "", "-a"]) {
      expect((await refusal(add("guest.qcow2", name))).code, name).to.equal("INVALID_VALUE");
    }
    expect(await names()).to.deep.equal([]);
  });

  it("need a checksum where they come from a network", async () => {
    const url = "http://127.0.0.1:9/guest.qcow2";
    const work = lab.room.store.import(url, {}, contextOf());
    expect((await refusal(work)).code).to.equal("CHECKSUM_REQUIRED");
  });

  it("are pulled in their newest version without a launch", async () => {
    expect((await pull("noble")).sha256).to.equal(sha256(lab.bytes));
    lab.files["/new.img"] = lab.newer;
    lab.publish({ versions: { "20261101": disk(lab.newer, "new.img") } });
    expect((await pull("noble")).sha256, "the kept catalogue is not asked").to.equal(sha256(lab.newer));
    await lab.server[Symbol.asyncDispose]();
    await lab.room.store.remove([sha256(lab.newer)]);
    expect((await refusal(pull("noble"))).code, "an older version is not it").to.equal("DOWNLOAD_FAILED");
    for (const wrong of ["debian", "./guest.qcow2"]) {
      expect((await refusal(pull(wrong))).code, wrong).to.equal("USAGE");
    }
  });

  it("lose all other names when they are renamed, and are the user's own from then on", async () => {
    await pull("noble");
    await rename("noble", "base");
    expect(await names()).to.deep.equal(["base"]);
    await lab.age(sha256(lab.bytes), 400);
    expect((await lab.resolve("base")).source.sha256).to.equal(sha256(lab.bytes));
    await file("guest.qcow2");
    await add("guest.qcow2");
    await lab.age(sha256(lab.bytes), 400);
    await lab.resolve("guest");
    expect(await names(), "it does not expire").to.deep.equal(["base", "guest"]);
    expect((await refusal(rename("guest", "base"))).code).to.equal("IMAGE_EXISTS");
    expect((await refusal(rename("nosuch", "any"))).code).to.equal("IMAGE_NOT_FOUND");
    const [used] = (await lab.room.store.list()).filter(({ aliases }) => aliases.includes("base"));
    await rename("base", "again");
    const [after] = (await lab.room.store.list()).filter(({ aliases }) => aliases.includes("again"));
    expect(after?.usedAt, "renaming is no use of it").to.be.closeTo(used?.usedAt ?? 0, 5);
  });
});

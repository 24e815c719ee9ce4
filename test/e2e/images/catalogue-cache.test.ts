import { readFile, writeFile } from "node:fs/promises";
import { expect } from "chai";
import { recipeOf } from "../../../lib/images/debian/recipe.ts";
import { type CatalogueLab, disk, labForEach } from "../../support/images/catalogue-lab.ts";
import { refusal, sha256 } from "../../support/images/images.ts";

describe("images from a catalogue that are in the cache", () => {
  let lab: CatalogueLab;
  labForEach((each) => {
    lab = each;
  });

  it("are had in the newer version once the catalogue is a day old, and at once by --force-update", async () => {
    await lab.resolve("noble");
    lab.files["/new.img"] = lab.newer;
    lab.publish({ versions: { "20260821": disk(lab.bytes), "20261101": disk(lab.newer, "new.img") } });
    expect((await lab.resolve("noble")).source.sha256).to.equal(sha256(lab.bytes));
    await lab.ageManifest("release", 1);
    expect((await lab.resolve("noble")).source.sha256).to.equal(sha256(lab.newer));
    expect((await lab.resolve(sha256(lab.bytes).slice(0, 8))).source.sha256).to.equal(sha256(lab.bytes));
    lab.publish({ versions: { "20261102": disk(lab.bytes) } });
    expect((await lab.find({ text: "noble" })).images[0]?.version).to.equal("20261101");
    expect((await lab.find({ text: "noble", refresh: true })).images[0]?.version).to.equal("20261102");
  });

  it("are launched from the cache without the remote, in the version that is there, with a warning", async () => {
    await lab.resolve("noble");
    lab.files["/new.img"] = lab.newer;
    lab.publish({ versions: { "20261101": disk(lab.newer, "new.img") } });
    await lab.find({ refresh: true });
    await lab.server[Symbol.asyncDispose]();
    expect((await lab.resolve("noble")).source.sha256, "the newer version is known").to.equal(
      sha256(lab.bytes),
    );
    await lab.ageManifest("release", 30);
    expect((await lab.resolve("24.04")).source.sha256, "its catalogue is old").to.equal(sha256(lab.bytes));
    await writeFile(lab.room.path("cache/catalogues/release.json"), "{");
    expect((await lab.resolve("lts")).source.sha256, "its catalogue is gone").to.equal(sha256(lab.bytes));
    expect(lab.room.warnings).to.have.length.greaterThan(2);
    expect((await refusal(lab.resolve("26.04"))).code).to.equal("DOWNLOAD_FAILED");
  });

  it("expire when they were not launched for 14 days, and what was a file or built does not", async () => {
    await writeFile(lab.room.path("mine.qcow2"), lab.newer);
    await lab.resolve("noble");
    await lab.resolve(`file://${lab.room.path("mine.qcow2")}`);
    for (const hash of [sha256(lab.bytes), sha256(lab.newer)]) {
      await lab.age(hash, 13);
    }
    await lab.resolve(sha256(lab.newer).slice(0, 8));
    expect(await lab.room.store.list()).to.have.length(2);
    for (const hash of [sha256(lab.bytes), sha256(lab.newer)]) {
      await lab.age(hash, 15);
    }
    await lab.resolve("noble");
    expect(await lab.room.store.list(), "the one being launched stays").to.have.length(2);
    for (const hash of [sha256(lab.bytes), sha256(lab.newer)]) {
      await lab.age(hash, 15);
    }
    const record = JSON.parse(await readFile(`${lab.room.cache}/${sha256(lab.newer)}.json`, "utf8"));
    await lab.resolve(sha256(lab.newer).slice(0, 8));
    expect((await lab.room.store.list()).map((image) => image.sha256)).to.deep.equal([sha256(lab.newer)]);
    const built = { ...record, source: "built: debian micro", aliases: ["debian-micro"] };
    await writeFile(`${lab.room.cache}/${sha256(lab.newer)}.json`, JSON.stringify(built));
    await lab.age(sha256(lab.newer), 400);
    await lab.resolve("noble");
    expect(await lab.room.store.list()).to.have.length(2);
  });

  it("that were built from another recipe are launched with a warning, and told as outdated", async () => {
    await lab.resolve("noble");
    const path = `${lab.room.cache}/${sha256(lab.bytes)}.json`;
    const { published: _, ...record } = JSON.parse(await readFile(path, "utf8"));
    const built = { ...record, source: "built: debian micro", aliases: ["debian-micro"] };
    const told = async (change: { recipe?: string }) => {
      await writeFile(path, JSON.stringify({ ...built, ...change }));
      const before = lab.room.warnings.length;
      expect((await lab.resolve("debian-micro")).source.sha256).to.equal(sha256(lab.bytes));
      const [image] = await lab.room.store.list();
      return { outdated: image?.outdated, warnings: lab.room.warnings.slice(before) };
    };
    expect(await told({ recipe: recipeOf("micro") })).to.deep.equal({ outdated: false, warnings: [] });
    for (const change of [{ recipe: recipeOf("cloud") }, {}]) {
      const { outdated, warnings } = await told(change);
      expect(outdated).to.equal(true);
      expect(warnings.join()).to.match(/another version of strata.*image build debian --variant micro/);
    }
  });
});

import { readFile, writeFile } from "node:fs/promises";
import { expect } from "chai";
import type { FindOptions } from "../../../lib/core/api/strata.ts";
import { type CatalogueLab, disk, INDEX, LIST, labForEach } from "../../support/images/catalogue-lab.ts";
import { catalogueFiles } from "../../support/images/image-server.ts";
import { refusal, sha256 } from "../../support/images/images.ts";

describe("images of remotes", () => {
  let lab: CatalogueLab;
  labForEach((each) => {
    lab = each;
  });

  it("are found by text, with the remotes in order and each release once", async () => {
    lab.publish(
      { versions: { 1: disk(lab.bytes) } },
      {
        version: "23.10",
        release: "mantic",
        title: "23.10",
        aliases: "23.10,mantic",
        supported: false,
        versions: { 1: disk(lab.bytes) },
      },
    );
    lab.files[`/daily${INDEX}`] = lab.files[INDEX] ?? "";
    lab.files[`/daily${LIST}`] =
      catalogueFiles([
        { versions: { 2: disk(lab.newer) } },
        { version: "26.10", title: "26.10", aliases: "26.10,devel", versions: { 2: disk(lab.newer) } },
      ])[LIST] ?? "";
    const names = async (options: FindOptions) => (await lab.find(options)).images.map(({ name }) => name);
    expect(await names({})).to.deep.equal(["24.04", "daily:26.10"]);
    expect(await names({ unsupported: true })).to.deep.equal(["23.10", "24.04", "daily:26.10"]);
    expect(await names({ text: "daily:" })).to.deep.equal(["daily:24.04", "daily:26.10"]);
    expect(await names({ text: "lts" }), "as it was asked for").to.deep.equal(["lts"]);
    expect(await names({ text: "ubuntu 26" })).to.deep.equal(["daily:26.10"]);
    expect(await names({ text: `daily:${sha256(lab.newer).slice(0, 8)}` })).to.have.length(2);
    expect((await lab.find({ text: "noble" })).images).to.deep.equal([
      {
        name: "noble",
        aliases: ["24.04", "lts"],
        os: "Ubuntu",
        release: "24.04 LTS",
        remote: "",
        version: "1",
      },
    ]);
    expect((await refusal(lab.find({ text: "mantic" }))).code).to.equal("IMAGE_NOT_FOUND");
    expect((await refusal(lab.find({ text: "nosuch:" }))).code).to.equal("REMOTE_NOT_FOUND");
  });

  it("are told with what could not be asked, and what was built beside them", async () => {
    await lab.resolve("noble");
    const record = JSON.parse(await readFile(`${lab.room.cache}/${sha256(lab.bytes)}.json`, "utf8"));
    const aliases = ["debian-cloud", "debian"];
    const built = {
      ...record,
      source: "built: debian cloud",
      aliases,
      published: undefined,
      os: "Debian",
      release: "12",
    };
    await writeFile(`${lab.room.cache}/${sha256(lab.bytes)}.json`, JSON.stringify(built));
    const { images, errors } = await lab.find();
    expect(images.map(({ name }) => name)).to.deep.equal(["24.04", "debian-cloud"]);
    expect(errors).to.have.length(1);
    expect(errors[0]).to.match(/daily.*404/);
  });

  it("need a remote that nobody on the way can change, and a file of remotes that can be read", async () => {
    const refuse = async (remotes: unknown) => {
      await writeFile(
        lab.room.path("remotes.json"),
        typeof remotes === "string" ? remotes : JSON.stringify(remotes),
      );
      return refusal(lab.resolve("lab:noble"));
    };
    expect(await refuse({ lab: { url: "http://images.example/" } })).to.deep.equal({
      code: "INVALID_VALUE",
      reason: "lab.url: must be https, or http to this host itself",
    });
    for (const broken of [
      "{",
      "[]",
      { "a b": { url: "https://a.example" } },
      { lab: { url: "ftp://a.example" } },
      { lab: { url: "https://a.example", user: "x" } },
    ]) {
      expect((await refuse(broken)).code, JSON.stringify(broken)).to.equal("INVALID_VALUE");
    }
  });
});

import { expect } from "chai";
import { cliRoom } from "../../support/cli.ts";
import { type CatalogueLab, disk, INDEX, labForEach } from "../../support/images/catalogue-lab.ts";

describe("a mirror of the built-in remotes", () => {
  let lab: CatalogueLab;
  labForEach((each) => {
    lab = each;
  });

  it("is asked in the place of the official server, as soon as it is set", async () => {
    lab.publish({ versions: { 1: disk(lab.bytes) } });
    for (const [path, contents] of Object.entries(lab.files)) {
      for (const remote of ["releases", "daily"]) {
        lab.files[`/mirror/${remote}${path}`] = contents;
      }
    }
    await using at = await cliRoom();
    await at.done("set", `local.image.mirror=${lab.server.url("/mirror")}`);
    const { images, errors } = JSON.parse(await at.done("find", "noble", "--format", "json"));
    expect([Object.keys(images), errors]).to.deep.equal([["noble"], []]);
    expect(lab.asked(`/mirror/releases${INDEX}`)).to.equal(1);
    expect(lab.asked(INDEX)).to.equal(0);
  });

  it("is refused if its answers could be changed on the way, and then nothing is set", async () => {
    await using at = await cliRoom();
    for (const [url, reason] of [
      ["http://mirror.example/", "must be https, or http to this host itself"],
      ["ftp://mirror.example/", "invalid value"],
      ["mirror", "invalid value"],
    ] as const) {
      const { code, stderr } = await at.strata("set", `local.image.mirror=${url}`);
      expect([code, stderr.includes(reason)], `${url}: ${stderr}`).to.deep.equal([2, true]);
    }
    expect(await at.done("get", "--raw", "local.image.mirror")).to.equal("\n");
    await at.done("set", "local.image.mirror=https://mirror.example/ubuntu");
    await at.done("set", "local.image.mirror=");
    expect(await at.done("get", "local.image.mirror")).to.equal("<empty>\n");
  });
});

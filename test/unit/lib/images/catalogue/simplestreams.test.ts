import { expect } from "chai";
import fc from "fast-check";
import { isStrataError } from "../../../../../lib/errors.ts";
import type { Remote } from "../../../../../lib/images/catalogue/remotes.ts";
import { parseIndex, parseProducts } from "../../../../../lib/images/catalogue/simplestreams.ts";
import { catalogueFiles } from "../../../../support/images/image-server.ts";

const remote: Remote = {
  name: "lab",
  url: new URL("https://user:pw@lab.example/ubuntu/"),
  username: "ubuntu",
};
const LIST = "/streams/v1/com.ubuntu.cloud:released:download.json";
const HASH = "ab".repeat(32);
const disk = { path: "server/noble.img", size: 5, sha256: HASH };

function products(change: object = {}, item: object = disk): string {
  const { products } = JSON.parse(catalogueFiles([{ versions: { 1: disk } }])[LIST] ?? "");
  const [product] = Object.values(products) as [object];
  const versions = { 1: { items: { disk: { ftype: "disk1.img", ...item } } } };
  return JSON.stringify({ format: "products:1.0", products: { p: { ...product, versions, ...change } } });
}

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (isStrataError(error)) {
      return `${error.code}: ${error.message}`;
    }
    throw error;
  }
  return "accepted";
}

const refusedProducts = (text: string) => refusal(() => parseProducts(remote, text, "amd64"));

describe("a catalogue in the form of simplestreams", () => {
  it("names the lists of disks in its index, and no other lists", () => {
    const { "/streams/v1/index.json": text = "" } = catalogueFiles([]);
    expect(parseIndex(remote, text).map(String)).to.deep.equal([
      "https://lab.example/ubuntu/streams/v1/com.ubuntu.cloud:released:download.json",
    ]);
  });

  it("gives each product's versions for this architecture, the newest first, the shown name foremost", () => {
    const versions = { "20260821.9": disk, "20260821.10": { ...disk, sha256: "cd".repeat(32) } };
    const { [LIST]: text = "" } = catalogueFiles([
      { versions, aliases: "n,noble, LTS ,default,24.04,24.04,-rf,a:b,https://x" },
    ]);
    const images = parseProducts(remote, text, "amd64");
    expect(images.map(({ version }) => version)).to.deep.equal(["20260821.10", "20260821.9"]);
    expect(images[1]).to.deep.equal({
      product: "com.ubuntu.cloud:server:24.04:amd64",
      os: "Ubuntu",
      release: "24.04 LTS",
      aliases: ["24.04", "n", "noble", "lts", "default"],
      version: "20260821.9",
      supported: true,
      url: "https://lab.example/ubuntu/server/noble.img",
      size: 5,
      sha256: HASH,
    });
  });

  it("takes the plainest disk among the files of a version, and passes over what has none", () => {
    const of = (...types: string[]) => {
      const items = Object.fromEntries(types.map((ftype) => [ftype, { ftype, ...disk, path: ftype }]));
      const text = products({ versions: { 1: { items } } });
      return parseProducts(remote, text, "amd64")[0]?.url.split("/").at(-1);
    };
    expect(of("disk-kvm.img", "root.tar.xz", "disk1.img", "disk1.img.xz")).to.equal("disk1.img");
    expect(of("root.tar.xz", "disk-kvm.img", "disk.img.zst")).to.equal("disk.img.zst");
    expect(of("root.tar.xz", "squashfs")).to.equal(undefined);
  });

  it("refuses a path that leads away from its server", () => {
    for (const path of [
      "https://evil.example/a",
      "//evil.example/a",
      "http://lab.example/a",
      "file:///etc/passwd",
    ]) {
      expect(refusedProducts(products({}, { ...disk, path }))).to.match(
        /^CATALOGUE_UNREADABLE.*must be on the same server/,
      );
    }
    expect(refusedProducts(products({}, { ...disk, path: "https://a:b@lab.example/a" }))).to.match(
      /must be on the same server/,
    );
  });

  it("refuses sizes and hashes that cannot be, and a disk without a hash", () => {
    for (const change of [
      { size: -1 },
      { size: 0 },
      { size: 1.5 },
      { size: 2 ** 60 },
      { size: "5" },
      { sha256: "ab" },
    ]) {
      expect(refusedProducts(products({}, { ...disk, ...change })), JSON.stringify(change)).to.match(
        /^CATALOGUE_UNREADABLE: .*"lab".*the disk of p 1, (size|sha256)/,
      );
    }
    expect(refusedProducts(products({}, { path: "a", size: 5 }))).to.match(/the disk of p 1, sha256/);
  });

  it("refuses what is no catalogue", () => {
    for (const text of ["", "<html>", "{}", "[]", "null", '{"format":"products:2.0","products":{}}']) {
      expect(refusedProducts(text), text).to.match(/^CATALOGUE_UNREADABLE/);
      expect(
        refusal(() => parseIndex(remote, text)),
        text,
      ).to.match(/^CATALOGUE_UNREADABLE/);
    }
    expect(refusedProducts(products({ aliases: 24.04 }))).to.match(/products\/p\/aliases/);
    expect(refusedProducts(products({ release_title: "x".repeat(300) }))).to.match(/release_title/);
  });

  it("fails by the table and in no other way, whatever is in the place of its members", () => {
    const { products: whole } = JSON.parse(products());
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(whole.p)), fc.json(), (key, value) => {
        const text = JSON.stringify({
          format: "products:1.0",
          products: { p: { ...whole.p, [key]: JSON.parse(value) } },
        });
        expect(refusedProducts(text)).to.match(/^accepted$|^CATALOGUE_UNREADABLE/);
      }),
    );
  });
});

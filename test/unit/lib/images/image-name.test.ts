import { resolve } from "node:path";
import { expect } from "chai";
import { isStrataError } from "../../../../lib/errors.ts";
import { isHashPrefix, parseImageName } from "../../../../lib/images/image-name.ts";

const HEX = "0123456789abcdef".repeat(4);

function refusal(text: string): string {
  try {
    parseImageName(text);
  } catch (error) {
    if (isStrataError(error)) {
      return `${error.code}: ${error.details.reason}`;
    }
    throw error;
  }
  return "accepted";
}

describe("image names", () => {
  it("takes what has no scheme for an alias or a hash", () => {
    for (const text of ["debian", "12", "3fa9c0", "24.04", "", "a/b:c"]) {
      expect(parseImageName(text)).to.deep.equal({ kind: "alias", remote: undefined, text });
    }
  });

  it("takes a path for a file without file://, and a name that ends like an image", () => {
    for (const [text, path] of [
      ["/images/a b.qcow2", "/images/a b.qcow2"],
      ["/images/odd#name", "/images/odd#name"],
      ["./disk", `${process.cwd()}/disk`],
      ["../x/disk", resolve("../x/disk")],
      ["guest.VMDK", `${process.cwd()}/guest.VMDK`],
      ["images/gce.tar.gz", `${process.cwd()}/images/gce.tar.gz`],
    ] as const) {
      expect(parseImageName(text)).to.deep.equal({ kind: "file", path, sha256: undefined });
    }
    expect(parseImageName(`/a.img#sha256=${HEX}`)).to.deep.equal({
      kind: "file",
      path: "/a.img",
      sha256: HEX,
    });
    expect(refusal("./a#sha256=12")).to.match(/^INVALID_VALUE/);
    expect(parseImageName("daily:noble.img")).to.include({ kind: "alias", remote: "daily" });
  });

  it("splits off the remote", () => {
    for (const [name, remote, text] of [
      ["daily:noble", "daily", "noble"],
      ["Daily:24.04", "daily", "24.04"],
      ["lab-2:debian/12", "lab-2", "debian/12"],
      ["daily:", "daily", ""],
    ]) {
      expect(parseImageName(name ?? "")).to.deep.equal({ kind: "alias", remote, text });
    }
  });

  it("reads a file URL, escapes included", () => {
    expect(parseImageName("file:///images/a%20b.qcow2")).to.deep.equal({
      kind: "file",
      path: "/images/a b.qcow2",
      sha256: undefined,
    });
  });

  it("reads a checksum in either case", () => {
    expect(parseImageName(`file:///a#sha256=${HEX.toUpperCase()}`)).to.have.property("sha256", HEX);
  });

  it("takes the checksum off the URL that is asked for", () => {
    const name = parseImageName(`https://host.example/a.img?x=1#sha256=${HEX}`);
    if (name.kind !== "url") {
      throw new Error(`a ${name.kind}`);
    }
    expect(name.url.href).to.equal("https://host.example/a.img?x=1");
    expect(name.sha256).to.equal(HEX);
  });

  it("knows a URL without a checksum", () => {
    expect(parseImageName("http://host.example/a.img")).to.have.property("sha256", undefined);
  });

  it("refuses what looks like a checksum and is none", () => {
    for (const hash of ["sha256=abc", `sha512=${HEX}`, `sha256=${HEX}0`, "top"]) {
      expect(refusal(`https://host.example/a#${hash}`)).to.match(/^INVALID_VALUE: a checksum must be/);
    }
  });

  it("refuses other schemes", () => {
    for (const text of ["ftp://host.example/a", "nbd://host.example/a", "ssh://host.example/a"]) {
      expect(refusal(text)).to.equal("INVALID_VALUE: a URL must begin with file://, http:// or https://");
    }
  });

  it("refuses a file URL with a host, with a broken escape, and what is no URL", () => {
    expect(refusal("file://images/a.qcow2")).to.equal("INVALID_VALUE: a file URL must have three slashes");
    expect(refusal("file:///a%ff%zz")).to.equal("INVALID_VALUE: its path must be well-formed");
    expect(refusal("http://")).to.equal("INVALID_VALUE: must be a valid URL");
  });

  it("takes six hex digits or more for the start of a hash", () => {
    expect(["abcdef", "ABC123", HEX].map(isHashPrefix)).to.deep.equal([true, true, true]);
    expect(["abcde", "abcdeg", `${HEX}0`, ""].map(isHashPrefix)).to.deep.equal([false, false, false, false]);
  });
});

import { expect } from "chai";
import { asStrataError, isStrataError } from "../../../../lib/errors.ts";
import { findCached, findLocal } from "../../../../lib/images/local.ts";
import type { ImageRecord } from "../../../../lib/images/record.ts";

function record(start: string, aliases: readonly string[]): ImageRecord {
  return {
    version: 1,
    format: "qcow2",
    sha256: start.padEnd(64, "0"),
    os: "Debian",
    release: "12",
    username: "ubuntu",
    aliases: [...aliases],
    virtualSize: 1n,
    createdAt: 0,
    source: "",
  };
}

const COMMON = ["debian", "bookworm", "12"];
const micro = record("aaaaaa1", ["debian-micro", ...COMMON]);
const cloud = record("aaaaaa2", ["debian-cloud", ...COMMON]);
const older = record("cccccc", ["debian-cloud", ...COMMON]);
const foreign = record("debade", []);
const noble: ImageRecord = {
  ...record("eeeeee", ["24.04", "noble"]),
  published: { remote: "release", product: "p", version: "1" },
};

function refusal(records: readonly ImageRecord[], text: string, formats?: readonly string[]): string {
  try {
    findLocal(records, text, formats);
  } catch (error) {
    if (isStrataError(error)) {
      return `${error.code} ${error.details.variant ?? ""}`.trim();
    }
    throw error;
  }
  return "found";
}

describe("finding an image in the cache", () => {
  it("has the full system for the common names, whatever is newest", () => {
    for (const text of ["debian", "bookworm", "12", "Debian"]) {
      expect(findLocal([micro, cloud], text)).to.equal(cloud);
      expect(findLocal([cloud, micro], text)).to.equal(cloud);
    }
  });

  it("has the micro system for them where there is no other", () => {
    expect(findLocal([micro], "debian")).to.equal(micro);
  });

  it("has each variant by its own name", () => {
    expect(findLocal([cloud, micro], "debian-micro")).to.equal(micro);
    expect(findLocal([micro, cloud], "debian-cloud")).to.equal(cloud);
  });

  it("has the newest of several builds", () => {
    expect(findLocal([cloud, older], "debian")).to.equal(cloud);
  });

  it("goes by the start of a hash in either case, and by the whole of it", () => {
    expect(findLocal([cloud, foreign], "debade")).to.equal(foreign);
    expect(findLocal([cloud, micro], "AAAAAA1")).to.equal(micro);
    expect(findLocal([cloud, micro], micro.sha256)).to.equal(micro);
  });

  it("refuses the start of several hashes", () => {
    expect(refusal([cloud, micro], "aaaaaa")).to.equal("INVALID_VALUE");
  });

  it("says which variant to build", () => {
    expect(refusal([], "debian")).to.equal("IMAGE_NOT_BUILT cloud");
    expect(refusal([], "debian-cloud")).to.equal("IMAGE_NOT_BUILT cloud");
    expect(refusal([cloud], "debian-micro")).to.equal("IMAGE_NOT_BUILT micro");
  });

  it("says to build what the engine can take, whatever variant was named", () => {
    for (const text of ["debian", "debian-container", "debian-micro"]) {
      expect(refusal([], text, ["lxd-rootfs"])).to.equal("IMAGE_NOT_BUILT container");
    }
    expect(refusal([], "debian-container", ["qcow2"])).to.equal("IMAGE_NOT_BUILT cloud");
  });

  it("has for an engine of several formats the first of these first, and says to build that", () => {
    const both = ["lxd-rootfs", "qcow2"];
    expect(refusal([], "debian", both)).to.equal("IMAGE_NOT_BUILT container");
    for (const variant of ["container", "cloud", "micro"]) {
      expect(refusal([], `debian-${variant}`, both)).to.equal(`IMAGE_NOT_BUILT ${variant}`);
    }
  });

  it("knows nothing of other names", () => {
    for (const text of ["noble", "debade", "deba", ""]) {
      expect(findLocal([cloud], text)).to.equal(undefined);
    }
  });

  it("has what was built for the default, and leaves it to the catalogue where nothing was", () => {
    expect(findLocal([micro, cloud], "default")).to.equal(cloud);
    expect(findLocal([noble], "default")).to.equal(undefined);
  });

  it("leaves the names of published images to their catalogue, which may have a newer version", () => {
    expect(findLocal([noble], "noble")).to.equal(undefined);
    expect(findLocal([noble], "eeeeee")).to.equal(noble);
  });

  it("deletes published images by their names, with their remote or without", async () => {
    for (const text of ["noble", "24.04", "release:noble", "Release:24.04", "eeeeee"]) {
      expect(await findCached([cloud, noble], text)).to.equal(noble);
    }
    for (const text of ["daily:noble", "release:debian", "release:eeeeee", "jammy"]) {
      const refused = await findCached([cloud, noble], text).catch(({ message }: Error) => message);
      expect(refused).to.equal(`image "${text}" was not found`);
    }
  });

  it("says which name may have been meant", async () => {
    const { hint } = await findCached([cloud, noble], "nobel").then(() => expect.fail(), asStrataError);
    expect(hint).to.match(/^Did you mean "noble"\? `strata find`/);
  });
});

import { expect } from "chai";
import { contextOf } from "../../../../lib/core/session/session.ts";
import type { Cache } from "../../../../lib/images/cache.ts";
import type { Catalogue } from "../../../../lib/images/catalogue/catalogue.ts";
import { findOffers } from "../../../../lib/images/offers.ts";
import type { ImageRecord } from "../../../../lib/images/record.ts";

const built = (format: ImageRecord["format"], variant: string, start: string): ImageRecord => ({
  version: 1,
  format,
  sha256: start.padEnd(64, "0"),
  os: "Debian",
  release: "12",
  username: "ubuntu",
  aliases: [`debian-${variant}`, "debian", "bookworm", "12"],
  virtualSize: 1n,
  createdAt: 0,
  source: `built: debian ${variant}`,
});

const records = [built("lxd-rootfs", "container", "aa"), built("qcow2", "cloud", "bb")];
const cache: Partial<Cache> = {
  records: async () => records.map((each) => ({ ...each, usedAt: 0, path: "", system: false })),
};

/** One remote that publishes a disk. */
const disk = {
  product: "p",
  version: "1",
  aliases: ["24.04", "noble"],
  os: "Ubuntu",
  release: "24.04 LTS",
  sha256: "cc".padEnd(64, "0"),
  supported: true,
};
const catalogue = {
  remotes: async () => [{ name: "release" }],
  manifest: async () => ({ images: [disk], outdated: null }),
};

async function offered(...formats: string[]): Promise<string[]> {
  const takes = (format: string) => formats.includes(format);
  const { images } = await findOffers(
    cache as Cache,
    catalogue as unknown as Catalogue,
    {},
    contextOf(),
    takes,
  );
  return images.map(({ name, aliases }) => [name, ...aliases].join(" "));
}

describe("the images that are offered", () => {
  it("are those that the engine takes, and each alias leads to one of them", async () => {
    expect(await offered("qcow2")).to.deep.equal(["24.04 noble", "debian-cloud debian bookworm 12"]);
    expect(await offered("lxd-rootfs")).to.deep.equal(["debian-container debian bookworm 12"]);
  });
});

import { copyFile, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openStrata } from "../../lib/core/session/open.ts";
import type { ImageSource } from "../../lib/engine/contract.ts";
import { writeRecord } from "../../lib/images/record.ts";
import { lxdFixture } from "../support/lxd/fixture.ts";
import { guestImage } from "../support/program.ts";
import { type Stage, story } from "../support/story.ts";

/** Every engine on which the same story is told. What is above the contract must not see a difference. */
const ENGINES: Readonly<Record<string, (folder: string) => Promise<Stage>>> = {
  memory: async (folder) => ({ strata: await onEngine("memory", folder), image: "debian" }),
  libvirt: async (folder) => {
    await guestImage();
    return {
      strata: await openStrata({ driver: "libvirt", folders: { config: folder } }),
      image: "debian-micro",
      memory: 400n * 1024n ** 2n,
    };
  },
  lxd: async (folder) => {
    const { daemon, image, network, [Symbol.asyncDispose]: close } = await lxdFixture();
    await cacheImage(join(folder, "images"), image);
    const settings = { "local.lxd.socket": daemon.socket, "local.lxd.network": network };
    return { strata: await onEngine("lxd", folder, settings), image: "debian-container", close };
  },
};

function onEngine(driver: string, folder: string, settings: Readonly<Record<string, string>> = {}) {
  const folders = { config: folder, data: folder, state: folder, cache: folder };
  return openStrata({ driver, settings, folders });
}

/** Puts an image where a build of it would. */
async function cacheImage(folder: string, { path, sha256, virtualSize }: ImageSource): Promise<void> {
  await mkdir(folder, { recursive: true });
  await copyFile(path, join(folder, `${sha256}.tar.zst`));
  await writeRecord(folder, {
    version: 1,
    format: "lxd-rootfs",
    sha256,
    os: "Debian",
    release: "12",
    username: "ubuntu",
    aliases: ["debian-container"],
    virtualSize,
    createdAt: Date.now(),
    source: "built: test",
  });
}

for (const [engine, open] of Object.entries(ENGINES)) {
  describe(`the story of an instance on ${engine}`, () => {
    let folder: string;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "strata-story-"));
    });
    after(() => rm(folder, { recursive: true, force: true }));
    story(`story-${engine}-${process.pid}`, () => open(folder));
  });
}

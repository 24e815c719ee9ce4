import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openStrata } from "../../lib/core/open.ts";
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
};

function onEngine(driver: string, folder: string) {
  return openStrata({ driver, folders: { config: folder, data: folder, state: folder } });
}

for (const [engine, open] of Object.entries(ENGINES))
  describe(`the story of an instance on ${engine}`, () => {
    let folder: string;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "strata-story-"));
    });
    after(() => rm(folder, { recursive: true, force: true }));
    story(`story-${engine}-${process.pid}`, () => open(folder));
  });

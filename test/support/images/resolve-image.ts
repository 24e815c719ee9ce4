/** A process of its own that brings an image into a room's cache: `resolve-image.ts FOLDER IMAGE`. */
import { join } from "node:path";
import { openImageStore } from "../../../lib/images/store.ts";

const [folder = "", image = ""] = process.argv.slice(2);
const phases = new Set<string>();
const store = openImageStore({
  folder: join(folder, "cache", "images"),
  catalogues: join(folder, "cache", "catalogues"),
  remotesFile: join(folder, "remotes.json"),
  log: { error() {}, warn() {}, info() {}, debug() {} },
});
const { source } = await store.resolve(image, {
  signal: new AbortController().signal,
  progress: ({ phase }) => void phases.add(phase),
});
process.stdout.write(JSON.stringify({ sha256: source.sha256, phases: [...phases] }));

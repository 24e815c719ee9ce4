// @ts-check
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { conformance } from "strata-vm/conformance";
import plugin from "../dist/index.js";
import { openStore } from "../dist/store.js";

conformance("sample", async () => {
  const folder = await mkdtemp(join(tmpdir(), "strata-sample-"));
  const options = { settings: { folder }, dataFolder: folder };
  const log = { error() {}, warn() {}, info() {}, debug() {} };
  const [engine, store] = await Promise.all([plugin.open({ ...options, log }), openStore(folder)]);
  return {
    plugin: fileURLToPath(new URL("..", import.meta.url)),
    options,
    engine,
    image: { path: "", format: "any", sha256: "0".repeat(64), virtualSize: 0n },
    // The kit's way to the disk of an instance that does not run.
    async write({ id }, value) {
      const stored = await store.get(id);
      const text = Buffer.from(String(value)).toString("base64");
      await store.put({ ...stored, disk: { ...stored.disk, [`/${value % 8}`]: text } });
    },
    async read({ id }) {
      const { disk } = await store.get(id);
      const files = Object.entries(disk).sort(([a], [b]) => (a < b ? -1 : 1));
      return createHash("sha256").update(JSON.stringify(files)).digest("hex");
    },
    async [Symbol.asyncDispose]() {
      await engine[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
});

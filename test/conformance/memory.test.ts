import { fileURLToPath } from "node:url";
import { conformance } from "../../lib/engine/conformance/index.ts";
import { memoryEngine } from "../../plugins/memory/index.ts";

conformance(
  "memory",
  async () => {
    const engine = memoryEngine();
    return {
      plugin: fileURLToPath(new URL("../../plugins/memory/index.ts", import.meta.url)),
      engine,
      open: async () => engine.sibling(),
      image: { path: "", format: "any", sha256: "0".repeat(64), virtualSize: 0n },
      async write({ id }, value) {
        const stored = await engine.world.get(id);
        await engine.world.put({
          ...stored,
          contents: { ...stored.contents, [`/${value % 8}`]: String(value) },
        });
      },
      read: async ({ id }) => JSON.stringify((await engine.world.get(id)).contents),
      async writeFirmware({ id }, mark) {
        await engine.world.put({ ...(await engine.world.get(id)), variables: mark });
      },
      readFirmware: async ({ id }) => (await engine.world.get(id)).variables ?? "",
      fault: engine.fault,
      [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
    };
  },
  { runs: 200, steps: 30 },
);

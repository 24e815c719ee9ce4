import { conformance } from "../../lib/engine/conformance/index.ts";
import { memoryBackend } from "../../plugins/memory/index.ts";

conformance(
  "memory",
  async () => {
    const backend = memoryBackend();
    return {
      backend,
      image: { path: "", format: "any", sha256: "0".repeat(64), virtualSize: 0n },
      async write({ id }, value) {
        const stored = await backend.world.get(id);
        await backend.world.put({
          ...stored,
          contents: { ...stored.contents, [`/${value % 8}`]: String(value) },
        });
      },
      read: async ({ id }) => JSON.stringify((await backend.world.get(id)).contents),
      fault: backend.fault,
      [Symbol.asyncDispose]: () => backend[Symbol.asyncDispose](),
    };
  },
  { runs: 200, steps: 30 },
);

import { fileURLToPath } from "node:url";
import { conformance } from "../../lib/engine/conformance/index.ts";
import { memoryEngine } from "../../plugins/memory/index.ts";
import type { Contents } from "../../plugins/memory/world.ts";

conformance(
  "memory",
  async () => {
    const engine = memoryEngine();
    return {
      plugin: fileURLToPath(new URL("../../plugins/memory/index.ts", import.meta.url)),
      engine,
      open: async () => engine.sibling(),
      image: { path: "", format: "any", sha256: "0".repeat(64), virtualSize: 0n },
      async write({ id }, value, disk) {
        const stored = await engine.world.get(id);
        const written = (contents: Contents = {}) => ({ ...contents, [`/${value % 8}`]: String(value) });
        const { contents, further = {} } = stored;
        await engine.world.put(
          disk === undefined
            ? { ...stored, contents: written(contents) }
            : { ...stored, further: { ...further, [disk]: written(further[disk]) } },
        );
      },
      async read({ id }, disk) {
        const { contents, further = {} } = await engine.world.get(id);
        return JSON.stringify(disk === undefined ? contents : (further[disk] ?? {}));
      },
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

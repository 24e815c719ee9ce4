import { fileURLToPath } from "node:url";
import { conformance, type Fixture } from "../../lib/engine/conformance/index.ts";
import { memoryEngine } from "../../plugins/memory/index.ts";
import type { Contents } from "../../plugins/memory/world.ts";

conformance(
  "memory",
  async () => {
    const engine = memoryEngine();
    const write: Fixture["write"] = async ({ id }, value, disk) => {
      const written = (contents: Contents = {}) => ({ ...contents, [`/${value % 8}`]: String(value) });
      await engine.world.change([id], ({ contents, further = {}, ...stored }) =>
        disk === undefined
          ? { ...stored, contents: written(contents), further }
          : { ...stored, contents, further: { ...further, [disk]: written(further[disk]) } },
      );
    };
    return {
      plugin: fileURLToPath(new URL("../../plugins/memory/index.ts", import.meta.url)),
      engine,
      open: async () => engine.sibling(),
      image: { path: "", format: "any", sha256: "0".repeat(64), virtualSize: 0n },
      write,
      writeRunning: write,
      stopAgent: ({ id }) =>
        engine.world.change([id], (stored) => ({
          ...stored,
          contents: { ...stored.contents, "/etc/no-agent": "" },
        })),
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

/**
 * A process of its own with the engine, started by `processes.ts`: module, what to do, the options as JSON, and the
 * name of an instance. "load" imports the module, "open" opens and closes the engine, "lock" locks the instance, says
 * so and waits to be killed. But for that it ends when nothing is left to do, which is what its tests look at.
 */
import { writeSync } from "node:fs";
import type { EnginePlugin, Log } from "../contract.ts";

const [module = "", what = "load", options = "{}", name = ""] = process.argv.slice(2);
const { default: plugin } = (await import(module)) as { readonly default: EnginePlugin };

if (what !== "load") {
  const log: Log = { error() {}, warn() {}, info() {}, debug() {} };
  const engine = await plugin.open({ ...JSON.parse(options), log });
  if (what === "lock") {
    const context = { signal: new AbortController().signal, progress() {} };
    await engine.instances.lock({ name }, { wait: 0 }, context);
    writeSync(1, "locked\n");
    setInterval(() => {}, 1000);
  } else {
    await engine.info();
    await engine.instances.list();
    await engine[Symbol.asyncDispose]();
  }
}

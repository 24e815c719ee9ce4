import type { Engine, Feature } from "../../lib/engine/contract.ts";
import { type MemoryEngine, memoryEngine } from "../../plugins/memory/index.ts";

const RUNNING: readonly Feature[] = [
  "snapshot.running",
  "snapshot.quiesce",
  "snapshot.memory",
  "snapshot.group",
];

/** The memory engine without what it can do of running instances. */
export function restingEngine(engine: MemoryEngine = memoryEngine()): Engine {
  const info = async () => {
    const known = await engine.info();
    const features = new Set([...known.features].filter((each) => !RUNNING.includes(each)));
    return {
      ...known,
      features,
      missing: new Map([["snapshot.running", "its disks are of stone"]] as const),
    };
  };
  return { ...engine, info };
}

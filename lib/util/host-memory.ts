import { failure } from "../errors.ts";

const MIB = 1024n ** 2n;

/** Throws INVALID_VALUE for more memory than `host`, bytes, rounded down to whole MiB. */
export function requireMemory(memory: bigint, host: bigint, why = "all that the host has"): void {
  const most = host / MIB;
  if (memory <= most * MIB) {
    return;
  }
  const reason = `must be at most ${most}M, ${why}`;
  throw failure("INVALID_VALUE", { what: "memory", value: `${memory / MIB}M`, reason });
}

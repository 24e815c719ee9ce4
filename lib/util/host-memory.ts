import { failure } from "../errors.ts";

const MIB = 1024n ** 2n;

/** Throws INVALID_VALUE for more memory than the host has, bytes, rounded down to whole MiB. */
export function requireMemory(memory: bigint, host: bigint): void {
  const most = host / MIB;
  if (memory <= most * MIB) {
    return;
  }
  const reason = `must be at most ${most}M, all that the host has`;
  throw failure("INVALID_VALUE", { what: "memory", value: `${memory / MIB}M`, reason });
}

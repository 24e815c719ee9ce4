import { failure } from "../../../lib/errors.ts";

/** libvirt starts a chain of 200 files, base image included, and makes but cannot start a longer one. */
const CHAIN_LIMIT = 200;

/** Rejects with CHAIN_TOO_DEEP where libvirt could not start a chain of that many files. */
export function requireDepth(name: string, depth: number): void {
  if (depth > CHAIN_LIMIT) {
    throw failure("CHAIN_TOO_DEEP", { name, depth, limit: CHAIN_LIMIT, engine: "libvirt" });
  }
}

import { failure } from "../errors.ts";

const UNIT: Readonly<Record<string, bigint>> = { "": 1n, K: 1024n, M: 1024n ** 2n, G: 1024n ** 3n };

/**
 * Reads a size in bytes: a positive whole number, or a decimal with K, KB, KiB, M… or G… in any case,
 * powers of 1024, floored. Throws INVALID_SIZE; `kind` is "memory" or "disk".
 */
export function parseSize(kind: string, text: string): bigint {
  const found = /^(\d+)(?:\.(\d+))?(?:([KMG])(?:i?B)?|B)?$/i.exec(text.trim());
  const [, whole = "", fraction = "", letter = ""] = found ?? [];
  const unit = UNIT[letter.toUpperCase()] ?? 1n;
  // There are no fractions of a byte.
  if (found === null || (fraction !== "" && unit === 1n)) {
    throw failure("INVALID_SIZE", { kind, value: text });
  }
  const bytes = (BigInt(whole + fraction) * unit) / 10n ** BigInt(fraction.length);
  if (bytes <= 0n) {
    throw failure("INVALID_SIZE", { kind, value: text });
  }
  return bytes;
}

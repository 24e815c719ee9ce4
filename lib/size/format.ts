/**
 * Sizes are written in two ways: rounded where they are shown (lists, progress, missing space), exact where a
 * user typed one or is to type one.
 */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** A size for people: one decimal and a binary unit, such as "1.5GiB". */
export function formatSize(bytes: bigint): string {
  let value = Number(bytes);
  let unit = 0;
  // A size that would be rounded to 1024.0 is shown in the next unit.
  while (value >= 1023.95 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return unit === 0 ? `${bytes}B` : `${value.toFixed(1)}${UNITS[unit]}`;
}

const LETTERS = [
  ["G", 1024n ** 3n],
  ["M", 1024n ** 2n],
  ["K", 1024n],
] as const;

/** A size as people type it, with nothing rounded: "127M", "5G", "1000 bytes". */
export function exactSize(bytes: bigint): string {
  const [letter, unit] = LETTERS.find(([, size]) => bytes !== 0n && bytes % size === 0n) ?? [];
  return unit === undefined ? `${bytes} bytes` : `${bytes / unit}${letter}`;
}

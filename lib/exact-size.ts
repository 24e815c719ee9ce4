const UNITS = [
  ["G", 1024n ** 3n],
  ["M", 1024n ** 2n],
  ["K", 1024n],
] as const;

/** A size as people type it, with nothing rounded: "127M", "5G", "1000 bytes". */
export function exactSize(bytes: bigint): string {
  const [letter, unit] = UNITS.find(([, size]) => bytes !== 0n && bytes % size === 0n) ?? [];
  return unit === undefined ? `${bytes} bytes` : `${bytes / unit}${letter}`;
}

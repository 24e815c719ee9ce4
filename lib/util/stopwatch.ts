/**
 * Starts counting; the returned function gives the milliseconds since then. The global `performance` would do the same,
 * but it loads a part of Node that costs every command more than a millisecond.
 */
export function stopwatch(): () => number {
  const begin = process.hrtime.bigint();
  return () => Number(process.hrtime.bigint() - begin) / 1e6;
}

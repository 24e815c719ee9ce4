/** What an error was caused by, the nearest first. */
export function causesOf(cause: unknown): string[] {
  return cause instanceof Error ? [`${cause.name}: ${cause.message}`, ...causesOf(cause.cause)] : [];
}

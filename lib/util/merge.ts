/**
 * Items of several sources as they arrive, until all have ended; the first failure ends it. A caller that
 * stops reading early must end the sources itself, because one that waits cannot be interrupted from here.
 */
export async function* merge<T>(sources: readonly AsyncIterable<T>[]): AsyncGenerator<T, void, undefined> {
  const pull = async (at: AsyncIterator<T>) => ({ at, result: await at.next() });
  const waiting = new Map<AsyncIterator<T>, ReturnType<typeof pull>>();
  for (const source of sources) {
    const at = source[Symbol.asyncIterator]();
    waiting.set(at, pull(at));
  }
  while (waiting.size > 0) {
    const { at, result } = await Promise.race(waiting.values());
    if (result.done === true) {
      waiting.delete(at);
      continue;
    }
    yield result.value;
    waiting.set(at, pull(at));
  }
}

/**
 * The results of a function for each item, in the items' order, with a few calls at once. If a thousand began
 * together, each would keep what it has read until its turn to continue.
 */
export async function fewAtOnce<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  // Unlike an array's own iterator, a generator ends for all once one of them fails.
  const left = (function* () {
    yield* items.entries();
  })();
  const worker = async () => {
    for (const [at, item] of left) {
      results[at] = await work(item);
    }
  };
  await Promise.all(Array.from({ length: FEW }, worker));
  return results;
}

/** Calls at once. Engines and disks also work on several at once, and limit that themselves. */
const FEW = 8;

/**
 * What a callback resolves to for each item, in the items' order, with a few under way at once. Of a thousand
 * that are begun together each keeps what it has read until it is its turn to go on.
 */
export async function fewAtOnce<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  // A generator, unlike an array's own iterator, is over for all once one of them fails.
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

/** Engines and disks have some at once as well, and it is theirs to say how many. */
const FEW = 8;

/** Maximum number of wrong letters. */
const FURTHEST = 3;
/** Minimum part of the longer word that must be right. */
const LEAST = 0.4;

/** The known words nearest to a mistyped one; none if nothing is near. */
export async function nearest(word: string, known: Iterable<string>): Promise<string[]> {
  const { default: distance } = await import("damerau-levenshtein");
  const typed = word.toLowerCase();
  const near = [...new Set(known)].flatMap((each) => {
    const { steps, similarity } = distance(typed, each.toLowerCase());
    return steps <= FURTHEST && similarity > LEAST ? [{ each, steps }] : [];
  });
  const least = Math.min(...near.map(({ steps }) => steps));
  return near
    .filter(({ steps }) => steps === least)
    .map(({ each }) => each)
    .sort();
}

/**
 * The detail `near` of an error about an unknown word, for its hint; empty if nothing is near. If the known
 * words cannot be read, the original error is reported all the same.
 */
export async function nearDetail(
  word: string,
  known: () => Promise<Iterable<string>> | Iterable<string>,
): Promise<{ readonly near?: string }> {
  try {
    const near = (await nearest(word, await known())).slice(0, 3).map((each) => `"${each}"`);
    return near.length === 0 ? {} : { near: near.join(" or ") };
  } catch {
    return {};
  }
}

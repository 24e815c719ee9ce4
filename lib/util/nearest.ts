/** The most letters that may be wrong. */
const FURTHEST = 3;
/** How much of the longer word must be right at least. */
const LEAST = 0.4;

/** The known words that a mistyped one is nearest to; none where nothing is near. */
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
 * The detail `near` of an error about a word that is not known, for its hint; empty where nothing is near. What keeps
 * the known words from being read is no reason for another error.
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

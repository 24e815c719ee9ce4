/** Made at first use: most texts are plain ASCII and need none. */
let segmenter: Intl.Segmenter | undefined;

/**
 * Number of code units that are segmented at once. `Intl.Segmenter` copies all of its input for every
 * segment, so segmenting a whole text would take quadratic time.
 */
const PIECE = 128;

/** The longest grapheme, in code units. No real one comes near it; longer ones are cut there. */
const LONGEST = 64;

/**
 * The characters of a text as people see them, one by one, in linear time. A caller that needs only the first
 * few stops reading. A character that is longer than any real one comes in several parts.
 */
export function* graphemes(text: string): Generator<string, void> {
  segmenter ??= new Intl.Segmenter("en", { granularity: "grapheme" });
  let from = 0;
  while (from < text.length) {
    const end = wholePoints(text, from + PIECE);
    let next = from;
    for (const { segment } of segmenter.segment(text.slice(from, end))) {
      // The last character of a part may continue in the next one, which then begins with it.
      if (end < text.length && next + segment.length === end && next > from) {
        break;
      }
      yield* parts(segment);
      next += segment.length;
    }
    from = next;
  }
}

/** The same place, or one before it, so that no code point is cut in two. */
function wholePoints(text: string, at: number): number {
  const splits = (text.codePointAt(at - 1) ?? 0) > 0xffff;
  return splits ? at - 1 : Math.min(at, text.length);
}

function* parts(segment: string): Generator<string, void> {
  for (let from = 0; from < segment.length; ) {
    const end = wholePoints(segment, from + LONGEST);
    yield segment.slice(from, end);
    from = end;
  }
}

const LINE_FEED = 10;

/** The last lines of a text in bytes; what follows the last line feed is a line as well. */
export function lastLines(text: Uint8Array, lines: number): Uint8Array {
  if (lines <= 0) {
    return text.subarray(text.length);
  }
  let at = text.length - (text.at(-1) === LINE_FEED ? 1 : 0);
  for (let found = 0; found < lines; found++) {
    at = at <= 0 ? -1 : text.lastIndexOf(LINE_FEED, at - 1);
    if (at === -1) {
      return text;
    }
  }
  return text.subarray(at + 1);
}

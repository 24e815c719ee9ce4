import { stripVTControlCharacters } from "node:util";
import { graphemes } from "./graphemes.ts";

/** Ranges that terminals draw two columns wide: East Asian wide and emoji. */
const WIDE =
  /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{20000}-\u{3fffd}]/u;

/** Columns that a text takes on a terminal; its colours take none. */
export function displayWidth(coloured: string): number {
  const text = coloured.includes("\u001b") ? stripVTControlCharacters(coloured) : coloured;
  if (/^[\x20-\x7e]*$/.test(text)) {
    return text.length;
  }
  let width = 0;
  for (const segment of graphemes(text)) {
    if (/^\p{Mark}+$/u.test(segment)) {
      continue;
    }
    width += WIDE.test(segment) || segment.includes("\ufe0f") ? 2 : 1;
  }
  return width;
}

/** The text padded with spaces to a width. */
export function pad(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - displayWidth(text)));
}

/**
 * Makes characters visible that would control a terminal: a comment or a name may come from another person.
 * Newlines are left for the caller.
 */
export function printable(text: string): string {
  return text.replace(
    /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (found) => {
      const code = found.charCodeAt(0);
      if (code === 9) {
        return "    ";
      }
      return code < 32 ? `^${String.fromCharCode(code + 64)}` : `\\u${code.toString(16).padStart(4, "0")}`;
    },
  );
}

/** A comment in one line: up to its first newline, about 50 characters, with `…` where it is cut. */
export function briefly(comment: string, longest = 50): string {
  const newline = comment.search(/\r?\n/);
  const first = newline < 0 ? comment : comment.slice(0, newline);
  const kept: string[] = [];
  // One character more than fits shows that the text has to be cut.
  for (const grapheme of graphemes(first)) {
    if (kept.push(grapheme) > longest) {
      break;
    }
  }
  const cut = kept.length > longest || (newline >= 0 && /\S/.test(comment.slice(newline)));
  return printable(
    cut
      ? `${kept
          .slice(0, longest - (kept.length > longest ? 1 : 0))
          .join("")
          .trimEnd()}…`
      : first,
  );
}

/** Rows in columns, each as wide as its widest cell and three spaces apart; nothing trails. */
export function columns(rows: readonly (readonly string[])[], gap = 3): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [at, cell] of row.entries()) {
      widths[at] = Math.max(widths[at] ?? 0, displayWidth(cell));
    }
  }
  return rows
    .map((row) =>
      row
        // Nothing follows the last one, which may be long.
        .map((cell, at) => (at === row.length - 1 ? cell : pad(cell, (widths[at] ?? 0) + gap)))
        .join("")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}

/** One field of CSV by RFC 4180; always quoted where that is asked for. */
export function csvField(value: string, quoted = false): string {
  return quoted || /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

/** Lines of CSV. */
export function csvLines(rows: readonly (readonly string[])[]): string {
  return rows.map((row) => `${row.join(",")}\n`).join("");
}

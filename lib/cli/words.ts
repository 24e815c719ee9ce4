import type { Command, Option } from "commander";
import { isCalled } from "./command.ts";

/** What a word of a command line is, or the end of one such as `--name=web`. */
export interface Part {
  /** The value of this option; undefined for an argument of the command. */
  readonly option: Option | undefined;
  readonly value: string;
  /** Index of its word. */
  readonly at: number;
  /** Where the value begins in the word. */
  readonly from: number;
}

/** The command of a command line and the parts of what follows, as commander reads them; nothing after `--`. */
export function partsOf(
  program: Command,
  words: readonly string[],
): { readonly command: Command; readonly parts: readonly Part[] } {
  let command = program;
  let parts: Part[] = [];
  let at = 0;
  while (at < words.length && words[at] !== "--") {
    const word = words[at] ?? "";
    const below = parts.some(isArgument) ? undefined : command.commands.find((each) => isCalled(each, word));
    if (below !== undefined) {
      command = below;
      parts = [];
    } else {
      const part = partAt(command, words, at);
      parts.push(...(part === undefined ? [] : [part]));
      at = part?.at ?? at;
    }
    at += 1;
  }
  return { command, parts };
}

export function isArgument({ option }: Part): boolean {
  return option === undefined;
}

/** The part that begins with a word; undefined for an option without a value. */
function partAt(command: Command, words: readonly string[], at: number): Part | undefined {
  const word = words[at] ?? "";
  if (!word.startsWith("-") || word === "-") {
    return { option: undefined, value: word, at, from: 0 };
  }
  const isLong = word.startsWith("--");
  const found = isLong ? longIn(command, word) : shortIn(command, word);
  if (found === undefined) {
    return undefined;
  }
  const { option, end } = found;
  const [place, from] = end === word.length ? [at + 1, 0] : [at, end + (isLong ? 1 : 0)];
  return { option, value: (words[place] ?? "").slice(from), at: place, from };
}

interface Named {
  readonly option: Option;
  /** Where its name ends in the word. */
  readonly end: number;
}

function longIn(command: Command, word: string): Named | undefined {
  const [name = ""] = word.split("=", 1);
  const option = command.options.find(({ long }) => long === name);
  return option?.required === true ? { option, end: name.length } : undefined;
}

/** Short options without a value may stand before one that has a value. */
function shortIn(command: Command, word: string): Named | undefined {
  for (let at = 1; at < word.length; at++) {
    const option = command.options.find(({ short }) => short === `-${word[at]}`);
    if (option?.required !== false) {
      return option === undefined ? undefined : { option, end: at + 1 };
    }
  }
  return undefined;
}

/** The words with other values for some parts. */
export function withValues(words: readonly string[], values: ReadonlyMap<Part, string>): string[] {
  const changed = [...words];
  for (const [{ at, from }, value] of values) {
    changed[at] = (words[at] ?? "").slice(0, from) + value;
  }
  return changed;
}

import { Command, Option } from "commander";
import { FORMATS } from "./format/format.ts";

const examples = new WeakMap<Command, readonly string[]>();

/** The examples of a command, without `strata` before them. */
export function examplesOf(each: Command): readonly string[] {
  return examples.get(each) ?? [];
}

const errorHints = new WeakMap<Command, string>();

/** The hint below a usage error of the command, if there is a better one than where its help is. */
export function errorHintOf(each: Command): string | undefined {
  return errorHints.get(each);
}

export function withErrorHint(made: Command, hint: string): Command {
  errorHints.set(made, hint);
  return made;
}

/** Every value of an option that may be given several times. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

/**
 * A command with its help: what it does and examples of it. Where a line in the list of commands has no room for all
 * of what it does, that line comes first.
 */
export function command(
  name: string,
  does: string | readonly [line: string, all: string],
  ...shown: readonly string[]
): Command {
  const [line, all] = typeof does === "string" ? [does, does] : does;
  return withExamples(new Command(name).summary(line).description(all), shown);
}

/** True for the name of a command and for its aliases. */
export function isCalled(each: Command, word: string): boolean {
  return each.name() === word || each.aliases().includes(word);
}

/** Adds examples to the help of a command. */
export function withExamples(made: Command, shown: readonly string[]): Command {
  examples.set(made, shown);
  const lines = shown.map((example) => `  $ strata ${example}`);
  return made.addHelpText("after", `\n${shown.length > 1 ? "Examples" : "Example"}:\n${lines.join("\n")}`);
}

/** `--format`, the same wherever there is one. */
export function formatOption(): Option {
  return new Option("--format <format>", "output format").choices([...FORMATS]).default("table");
}

import { Command, Option } from "commander";
import { FORMATS } from "./format/format.ts";

/** A command with its help: what it does and an example of it. */
export function command(usage: string, summary: string, ...examples: readonly string[]): Command {
  const made = new Command(usage.split(" ")[0]).summary(summary).description(summary);
  for (const argument of usage.split(" ").slice(1)) made.argument(argument);
  const lines = examples.map((example) => `  $ strata ${example}`);
  return made.addHelpText("after", `\nExample:\n${lines.join("\n")}`);
}

/** `--format`, the same wherever there is one. */
export function formatOption(): Option {
  return new Option("--format <format>", "output format").choices([...FORMATS]).default("table");
}

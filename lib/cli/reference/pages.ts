import type { Command } from "commander";
import { examplesOf } from "../command.ts";

/** What there is to say of a command, read from the command tree. */
export interface Page {
  /** Such as "image build". "" is the program itself. */
  readonly name: string;
  readonly aliases: readonly string[];
  readonly usage: string;
  readonly summary: string;
  readonly options: readonly { readonly flags: string; readonly description: string }[];
  /** Without `strata` before them. */
  readonly examples: readonly string[];
}

/** A page for the program and for every command that is shown, in the order of the help. */
export function pagesOf(program: Command): Page[] {
  const below = (command: Command, path: readonly string[]): Page[] => {
    const help = command.createHelp();
    const children = help.visibleCommands(command).filter((each) => each.name() !== "help");
    return [page(command, path), ...children.flatMap((each) => below(each, [...path, each.name()]))];
  };
  return below(program, []);
}

function page(command: Command, path: readonly string[]): Page {
  const help = command.createHelp();
  return {
    name: path.join(" "),
    aliases: command.aliases(),
    usage: ["strata", ...path, command.usage()].filter(Boolean).join(" "),
    summary: command.description(),
    options: help
      .visibleOptions(command)
      // What every command has is told once.
      .filter(({ long }) => long !== "--help" && (path.length === 0 || long !== "--verbose"))
      .map((option) => ({ flags: option.flags, description: help.optionDescription(option) })),
    examples: examplesOf(command),
  };
}

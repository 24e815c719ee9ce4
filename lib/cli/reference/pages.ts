import type { Argument, Command } from "commander";
import { examplesOf } from "../command.ts";

/** The documentation of a command, read from the command tree. */
export interface Page {
  /** Such as "image build". "" is the program itself. */
  readonly name: string;
  readonly aliases: readonly string[];
  readonly usage: string;
  readonly summary: string;
  /** Heading of the help under which the command stands; "" for commands within commands. */
  readonly group: string;
  readonly arguments: readonly { readonly term: string; readonly description: string }[];
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
    group: command.helpGroup().replace(/:$/, ""),
    arguments: help.visibleArguments(command).map((each) => ({
      term: termOf(each),
      description: help.argumentDescription(each),
    })),
    options: help
      .visibleOptions(command)
      // Options that every command has are documented once.
      .filter(({ long }) => long !== "--help" && (path.length === 0 || long !== "--verbose"))
      .map((option) => ({ flags: option.flags, description: help.optionDescription(option) })),
    examples: examplesOf(command),
  };
}

/** As it stands in the usage: `<needed>`, `[optional]`, `<several...>`. */
function termOf(argument: Argument): string {
  const name = `${argument.name()}${argument.variadic ? "..." : ""}`;
  return argument.required ? `<${name}>` : `[${name}]`;
}

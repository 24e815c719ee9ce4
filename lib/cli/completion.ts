import type { Argument, Command, Option } from "commander";

/** A word that may come next, and what it means. */
export interface Candidate {
  readonly word: string;
  readonly meaning: string;
}

export interface Completion {
  readonly candidates: readonly Candidate[];
  /** Names of files fit as well. */
  readonly files: boolean;
}

/** What is named by words that no command tree knows. */
export interface Names {
  instances(): Promise<readonly string[]>;
  deleted(): Promise<readonly string[]>;
  /** `INSTANCE.SNAPSHOT` */
  snapshots(): Promise<readonly string[]>;
  keys(): Promise<readonly string[]>;
  images(): Promise<readonly string[]>;
  /** `ALIAS` of the active context, and `CONTEXT.ALIAS`. */
  aliases(): Promise<readonly string[]>;
  contexts(): Promise<readonly string[]>;
}

type Kind = keyof Names | "files" | "instance paths" | "none";

/** What an argument is about, by `COMMAND ARGUMENT`, and for all other commands by its name. */
const KINDS: Readonly<Record<string, readonly Kind[]>> = {
  "delete names": ["instances", "snapshots"],
  "info names": ["instances", "snapshots"],
  "recover names": ["deleted"],
  "transfer paths": ["instance paths", "files"],
  "alias definition": ["instance paths"],
  "exec command": ["none"],
  "mount targets": ["instances"],
  "umount mounts": ["instances"],
  names: ["instances"],
  name: ["instances"],
  instance: ["instances"],
  snapshot: ["snapshots"],
  key: ["keys"],
  settings: ["keys"],
  image: ["images", "files"],
  aliases: ["aliases"],
  context: ["contexts"],
};

/** What may stand in the place of the last word, which may be empty or begun. `words` come after `strata`. */
export async function complete(
  program: Command,
  words: readonly string[],
  names: Names,
): Promise<Completion> {
  const partial = words.at(-1) ?? "";
  const { command, option, operands, rest } = walk(program, words.slice(0, -1));
  const found = rest
    ? { candidates: [], files: true }
    : option !== undefined
      ? values(option.argChoices)
      : partial.startsWith("-")
        ? { candidates: options(command), files: false }
        : command.commands.length > 0 && operands === 0
          ? await subcommands(program, command, names)
          : await argument(command, operands, names);
  const fits = ({ word }: Candidate) => word.startsWith(partial);
  return { ...found, candidates: found.candidates.filter(fits) };
}

interface Position {
  readonly command: Command;
  /** The option whose value comes next. */
  readonly option: Option | undefined;
  readonly operands: number;
  /** Behind `--`, where words are somebody else's. */
  readonly rest: boolean;
}

function walk(program: Command, words: readonly string[]): Position {
  let command = program;
  let option: Option | undefined;
  let operands = 0;
  for (const word of words) {
    if (option !== undefined) {
      option = undefined;
    } else if (word === "--") {
      return { command, option: undefined, operands, rest: true };
    } else if (word.startsWith("-")) {
      const known = command.options.find(({ long, short }) => word === long || word === short);
      option = known?.required === true ? known : undefined;
    } else {
      const below: Command | undefined = command.commands.find(
        (each) => operands === 0 && (each.name() === word || each.aliases().includes(word)),
      );
      if (below === undefined) operands += 1;
      else command = below;
    }
  }
  return { command, option, operands, rest: false };
}

function values(choices: readonly string[] | undefined): Completion {
  return { candidates: plain(choices ?? []), files: choices === undefined };
}

function plain(words: readonly string[]): Candidate[] {
  return words.map((word) => ({ word, meaning: "" }));
}

function options(command: Command): Candidate[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .flatMap(({ long, short, description }) => {
      const word = long ?? short;
      return word === undefined || word === null ? [] : [{ word, meaning: description }];
    });
}

async function subcommands(program: Command, command: Command, names: Names): Promise<Completion> {
  const candidates = command
    .createHelp()
    .visibleCommands(command)
    .filter((each) => command === program || each.name() !== "help")
    .map((each) => ({ word: each.name(), meaning: each.summary() || each.description() }));
  const aliases = command === program ? plain(await names.aliases()) : [];
  return { candidates: [...candidates, ...aliases], files: false };
}

async function argument(command: Command, at: number, names: Names): Promise<Completion> {
  const declared = command.registeredArguments;
  const last = declared.at(-1);
  const found: Argument | undefined = declared[at] ?? (last?.variadic === true ? last : undefined);
  if (found === undefined) return { candidates: [], files: false };
  if (found.argChoices !== undefined) return values(found.argChoices);
  const kinds = KINDS[`${command.name()} ${found.name()}`] ?? KINDS[found.name()] ?? ["files"];
  const words = await Promise.all(kinds.map((kind) => wordsOf(kind, names)));
  return { candidates: plain(words.flat()), files: kinds.includes("files") };
}

async function wordsOf(kind: Kind, names: Names): Promise<readonly string[]> {
  if (kind === "files" || kind === "none") return [];
  if (kind === "instance paths") return (await names.instances()).map((name) => `${name}:`);
  return names[kind]();
}

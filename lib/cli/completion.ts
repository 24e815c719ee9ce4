import type { Argument, Command, Option } from "commander";
import { SYSTEM_DISK } from "../core/api/disks.ts";
import { isCalled } from "./command.ts";

/** A possible next word and its meaning. */
export interface Candidate {
  readonly word: string;
  readonly meaning: string;
}

export interface Completion {
  readonly candidates: readonly Candidate[];
  /** Whether file names are possible too. */
  readonly files: boolean;
}

/** Names that are not part of the command tree. */
export interface Names {
  instances(): Promise<readonly string[]>;
  deleted(): Promise<readonly string[]>;
  /** Those that `start` would change. */
  idle(): Promise<readonly string[]>;
  stopped(): Promise<readonly string[]>;
  running(): Promise<readonly string[]>;
  /** `INSTANCE.SNAPSHOT` */
  snapshots(): Promise<readonly string[]>;
  /** Names of snapshots that were taken together. */
  groups(): Promise<readonly string[]>;
  /** `INSTANCE:TARGET` */
  mounts(): Promise<readonly string[]>;
  keys(): Promise<readonly string[]>;
  images(): Promise<readonly string[]>;
  /** `ALIAS` of the active context, and `CONTEXT.ALIAS`. */
  aliases(): Promise<readonly string[]>;
  contexts(): Promise<readonly string[]>;
  /** Names of hosts. */
  hosts(): Promise<readonly string[]>;
  engines(): Promise<readonly string[]>;
  /** Disks of an instance beside the system disk. */
  disks(instance: string): Promise<readonly string[]>;
  /** Paths in a running instance that begin with a text; a folder ends with "/". */
  paths(instance: string, beginning: string): Promise<readonly string[]>;
}

/** Names that are the same wherever they are asked for. */
type Plain = Exclude<keyof Names, "paths" | "disks">;
type Kind = Plain | "disks" | "all disks" | "files" | "instance paths" | "none";

/** The kind of an argument, by `COMMAND ARGUMENT`, and for all other commands by its name. */
const KINDS: Readonly<Record<string, readonly Kind[]>> = {
  "context delete names": ["hosts"],
  "add name": ["none"],
  address: ["none"],
  "delete names": ["instances", "snapshots"],
  "info names": ["instances", "snapshots"],
  "rename name": ["instances", "snapshots"],
  "rename new-name": ["none"],
  "rename image": ["images"],
  "pull name": ["none"],
  images: ["images"],
  "recover names": ["deleted"],
  "start names": ["idle"],
  "stop names": ["running"],
  "suspend names": ["running"],
  "restart names": ["running"],
  "ssh-config names": ["running"],
  "optimize names": ["stopped"],
  "snapshot instances": ["instances"],
  "add instance": ["stopped"],
  "grow instance": ["stopped"],
  "remove instance": ["stopped"],
  disk: ["disks"],
  "grow disk": ["all disks"],
  size: ["none"],
  "clone name": ["stopped"],
  "export name": ["stopped", "snapshots"],
  "move name": ["stopped"],
  "move member": ["hosts"],
  "copy name": ["stopped", "snapshots"],
  "copy host:[name]": ["hosts"],
  "console name": ["running"],
  "forward name": ["instances"],
  "forward ports": ["none"],
  "delete ports": ["none"],
  "transfer paths": ["instance paths", "files"],
  "alias name:command": ["instance paths"],
  "exec command": ["none"],
  "mount name[:path]": ["instance paths"],
  "umount name[:path]": ["instances", "mounts"],
  names: ["instances"],
  name: ["instances"],
  instance: ["instances"],
  "instance.snapshot": ["snapshots"],
  key: ["keys"],
  "key[=value]": ["keys"],
  image: ["images", "files"],
  aliases: ["aliases"],
  context: ["contexts"],
};

/** The words that can replace the last word, which may be empty or incomplete. `words` follow `strata`. */
export async function complete(
  program: Command,
  words: readonly string[],
  names: Names,
): Promise<Completion> {
  const partial = words.at(-1) ?? "";
  const found = await wordsAt(program, walk(program, words.slice(0, -1)), partial, names);
  const fits = ({ word }: Candidate) => word.startsWith(partial);
  return { ...found, candidates: found.candidates.filter(fits) };
}

/** The words that are possible at a position, regardless of what has been typed of them. */
async function wordsAt(
  program: Command,
  { command, option, operands, rest }: Position,
  partial: string,
  names: Names,
): Promise<Completion> {
  if (rest) {
    return { candidates: [], files: true };
  }
  if (option !== undefined) {
    return command === program && option.long === "--host"
      ? { candidates: plain(await names.hosts()), files: false }
      : valuesOf(option, operands, names);
  }
  if (partial.startsWith("-")) {
    return { candidates: options(command), files: false };
  }
  if (command.name() === "help") {
    return topics(program, operands);
  }
  if (command.commands.length > 0 && operands.length === 0) {
    return subcommands(program, command, names);
  }
  return argument(command, operands, names, partial);
}

interface Position {
  readonly command: Command;
  /** The option whose value comes next. */
  readonly option: Option | undefined;
  readonly operands: readonly string[];
  /** After `--`, where words belong to another program. */
  readonly rest: boolean;
}

function walk(program: Command, words: readonly string[]): Position {
  let command = program;
  let option: Option | undefined;
  const operands: string[] = [];
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
        (each) => operands.length === 0 && isCalled(each, word),
      );
      if (below === undefined) {
        operands.push(word);
      } else {
        command = below;
      }
    }
  }
  return { command, option, operands, rest: false };
}

async function valuesOf(
  { long, argChoices }: Option,
  operands: readonly string[],
  names: Names,
): Promise<Completion> {
  if (long === "--exclude") {
    return { candidates: plain(await wordsOf("disks", operands, names, "")), files: false };
  }
  if (long === "--group") {
    return { candidates: plain(await names.groups()), files: false };
  }
  return long === "--driver"
    ? { candidates: plain(await names.engines()), files: false }
    : values(argChoices);
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
  const aliases = command === program ? plain(await names.aliases()) : [];
  return { candidates: [...commandsOf(program, command), ...aliases], files: false };
}

function commandsOf(program: Command, command: Command): Candidate[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .filter((each) => command === program || each.name() !== "help")
    .map((each) => ({ word: each.name(), meaning: each.summary() || each.description() }));
}

/** Topics of `help` after the given words. */
function topics(program: Command, words: readonly string[]): Completion {
  let about: Command | undefined = program;
  for (const word of words) {
    about = about?.commands.find((each) => isCalled(each, word));
  }
  return { candidates: about === undefined ? [] : commandsOf(program, about), files: false };
}

async function argument(
  command: Command,
  operands: readonly string[],
  names: Names,
  partial: string,
): Promise<Completion> {
  const declared = command.registeredArguments;
  const last = declared.at(-1);
  const found: Argument | undefined =
    declared[operands.length] ?? (last?.variadic === true ? last : undefined);
  if (found === undefined) {
    return { candidates: [], files: false };
  }
  if (found.argChoices !== undefined) {
    return values(found.argChoices);
  }
  const whole = `${command.name()} ${found.name()}`;
  const kinds = KINDS[`${command.parent?.name()} ${whole}`] ??
    KINDS[whole] ??
    KINDS[found.name()] ?? ["files"];
  const words = await Promise.all(kinds.map((kind) => wordsOf(kind, operands, names, partial)));
  return { candidates: plain(words.flat()), files: kinds.includes("files") };
}

const SWITCH = ["true", "false"];

/** Values of settings that have few. */
async function settingValues(key: string, names: Names): Promise<readonly string[]> {
  if (key === "local.driver") {
    return names.engines();
  }
  return key === "local.privileged-mounts" || /^local\..+\.(bridged|autostart)$/.test(key) ? SWITCH : [];
}

async function wordsOf(
  kind: Kind,
  [instance]: readonly string[],
  names: Names,
  partial: string,
): Promise<readonly string[]> {
  if (kind === "files" || kind === "none") {
    return [];
  }
  if (kind === "disks") {
    return instance === undefined ? [] : names.disks(instance);
  }
  if (kind === "all disks") {
    return [SYSTEM_DISK, ...(await wordsOf("disks", [instance ?? ""], names, partial))];
  }
  const [, setting] = /^([^=]+)=/.exec(partial) ?? [];
  if (kind === "keys" && setting !== undefined) {
    return (await settingValues(setting, names)).map((value) => `${setting}=${value}`);
  }
  if (kind === "instance paths") {
    const [, guest, beginning] = /^([^:/]+):(.*)$/.exec(partial) ?? [];
    return guest === undefined || beginning === undefined
      ? (await names.instances()).map((name) => `${name}:`)
      : (await names.paths(guest, beginning)).map((path) => `${guest}:${path}`);
  }
  return names[kind]();
}

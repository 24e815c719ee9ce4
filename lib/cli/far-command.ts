/** A command line that is meant for another host. */
export interface FarCommand {
  /** A context, or an address. */
  readonly host: string;
  /** The command line without the host. */
  readonly words: readonly string[];
  /** The first word that is no option: a command or an alias there. */
  readonly command: string;
}

/** The name of this host among the others. */
export const HERE = "local";

/** Commands about strata as it is here; the last one asks other hosts itself. */
const STAY: readonly string[] = ["completion", "context", "help", "__complete"];
/** Where `--all-hosts` means those that are known here. */
const LIST: readonly string[] = ["list", "ls"];
/** Options before the command that have a value. */
const VALUED: readonly string[] = ["--driver", "--host"];

/**
 * The command line for another host, if `--host` before the command or the variable STRATA_HOST names one. This is
 * asked before anything else is loaded: what strata is here does not matter then.
 */
export function farCommandOf(argv: readonly string[], env: NodeJS.ProcessEnv): FarCommand | undefined {
  const { host: given, options, rest } = leadingOptions(argv);
  const [command = "", ...after] = rest;
  const isAboutAll = given === undefined && LIST.includes(command) && after.includes("--all-hosts");
  const host = given ?? (isAboutAll ? HERE : (env.STRATA_HOST ?? ""));
  const isWhole = rest.length > 0 || options.includes("--version");
  if (host === "" || host === HERE || !isWhole || STAY.includes(command)) {
    return undefined;
  }
  return { host, words: [...options, ...rest], command };
}

interface Leading {
  /** Undefined if none is given. */
  readonly host?: string;
  /** The other options before the command, with their values. */
  readonly options: readonly string[];
  /** The command and what follows it. */
  readonly rest: readonly string[];
}

function leadingOptions(argv: readonly string[]): Leading {
  const options: string[] = [];
  let host: string | undefined;
  let at = 0;
  for (; argv[at]?.startsWith("-"); at++) {
    const [name = "", value] = optionAt(argv, at);
    at += VALUED.includes(argv[at] ?? "") ? 1 : 0;
    if (name === "--host") {
      host = value;
    } else {
      options.push(name, ...(value === undefined ? [] : [value]));
    }
  }
  return { ...(host === undefined ? {} : { host }), options, rest: argv.slice(at) };
}

/** An option with its value, which is part of it or the next word. */
function optionAt(argv: readonly string[], at: number): [name: string, value?: string] {
  const word = argv[at] ?? "";
  const joined = VALUED.find((option) => word.startsWith(`${option}=`));
  if (joined !== undefined) {
    return [joined, word.slice(joined.length + 1)];
  }
  const next = argv[at + 1];
  return VALUED.includes(word) && next !== undefined ? [word, next] : [word];
}

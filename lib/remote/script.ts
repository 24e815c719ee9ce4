import { failure } from "../errors.ts";
import { quote } from "../util/quote.ts";

/** Longest command of a shell on Linux is 128 KiB; the login shell gets all of it as one word. */
const LONGEST = 120 * 1024;

/**
 * Runs strata in the place of the login shell, which so has its process id and process group. `$1` is for a host
 * without strata, `$2` is written before the process id, unless it is empty.
 */
const RUN = `PATH=$PATH:\${HOME:-}/.local/bin
command -v strata >/dev/null 2>&1 || { printf "%s\\n" "$1" >&2; exit 7; }
[ -z "$2" ] || printf "%s %s\\n" "$2" "$$" >&2
shift 2
exec strata "$@"`;

/** dash takes a negative number for an option without the "--". */
const SIGNAL = `kill -s INT -- "-$1"`;

/** What the other host's login shell is given to run strata. `mark`: announces the process group on standard error. */
export function farStrata(host: string, mark: string, words: readonly string[]): string {
  const { message } = failure("PROGRAM_MISSING", { program: "strata", package: "strata" });
  const command = farScript(RUN, `strata: on ${host}, ${message}`, mark, ...words);
  if (Buffer.byteLength(command) > LONGEST) {
    throw failure("USAGE", { reason: `the command line is longer than ssh can carry, ${LONGEST} bytes` });
  }
  return command;
}

/** What the other host's login shell is given to interrupt a process group. */
export function farInterrupt(group: number): string {
  return farScript(SIGNAL, String(group));
}

/** ssh joins words with spaces, and the login shell there takes them apart: each is quoted for it. */
export function farScript(script: string, ...words: readonly string[]): string {
  return ["exec", "sh", "-c", script, "sh", ...words].map(quote).join(" ");
}

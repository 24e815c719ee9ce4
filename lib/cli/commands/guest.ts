import { constants } from "node:os";
import { pipeline } from "node:stream/promises";
import type { Command } from "commander";
import type { GuestExecOptions } from "../../core/api/guest.ts";
import type { ExecSession } from "../../engine/contract.ts";
import { failure } from "../../errors.ts";
import { defined } from "../../util/defined.ts";
import type { Cli } from "../cli.ts";
import { collect, command, withErrorHint } from "../command.ts";
import { canAsk, type Io } from "../io.ts";
import { parseTimeout } from "./launch.ts";
import { chosenNames, launchPrimary } from "./lifecycle.ts";

export function execCommand(cli: Cli): Command {
  const made = command(
    "exec",
    "run a command in an instance",
    "exec web -- uname -a",
    "exec web -d /srv -- sh -c 'ls | wc -l'",
    "exec web --user root --env LANG=C -- apt-get update",
  )
    .argument("<name>", "instance; it is started if needed")
    .argument("[command...]", "command and its arguments, after --")
    .option("-d, --working-directory <dir>", "folder in the guest to run the command in")
    .option(
      "-n, --no-map-working-directory",
      "run in the user's home, even if the current folder is mounted in the instance",
    )
    .option("-u, --user <name>", "user in the guest to run the command as (default: the image's user)")
    .option(
      "-e, --env <name[=value]>",
      "set a variable of the command's environment, to its value here if none is given (repeatable)",
      collect,
    )
    .option("--no-stdin", "leave standard input alone, for loops that read it")
    .option("--timeout <seconds>", TIMEOUT_HELP)
    .action(async (name: string, given: string[], options: ExecFlags) => {
      const argv = given[0] === "--" ? given.slice(1) : given;
      if (argv.length === 0) {
        throw failure("USAGE", { reason: "exec needs a command, such as: exec NAME -- uname -a" });
      }
      const asked = parseExecFlags(options, cli.io);
      const strata = await cli.strata();
      const over = new AbortController();
      const signal = AbortSignal.any([cli.call.signal, over.signal]);
      const session = await strata.guest.exec(name, argv, { ...cli.call, ...asked, signal });
      cli.progress.clear();
      cli.exit(await connect(cli.io, session, over, options.stdin));
    });
  return withErrorHint(
    made,
    "Options of exec go before --, the command and its own options after it: strata exec NAME -- COMMAND",
  );
}

const TIMEOUT_HELP = "how long to wait for a guest that is starting (default: 300)";

interface ExecFlags {
  timeout?: string;
  workingDirectory?: string;
  mapWorkingDirectory: boolean;
  user?: string;
  env?: string[];
  stdin: boolean;
}

/** What the options ask for. */
function parseExecFlags(options: ExecFlags, io: Io): GuestExecOptions {
  const { workingDirectory: cwd, user, env } = options;
  return {
    ...defined({ cwd, user, timeout: parseTimeout(options.timeout) }),
    ...(options.mapWorkingDirectory ? currentFolder() : {}),
    ...(env === undefined ? {} : { env: readVariables(env, io.env) }),
    ...(options.stdin && canAsk(io) ? { tty: terminal(io) } : {}),
  };
}

/** Reads `NAME=VALUE`, and `NAME` of a variable that is set here. */
function readVariables(given: readonly string[], here: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    given.map((text) => {
      const at = text.indexOf("=");
      const name = at === -1 ? text : text.slice(0, at);
      const value = at === -1 ? here[name] : text.slice(at + 1);
      if (value === undefined) {
        const reason = "must be NAME=VALUE, or the name of a variable that is set here";
        throw failure("INVALID_VALUE", { what: "--env", value: text, reason });
      }
      return [name, value];
    }),
  );
}

/** Nothing if the current folder was removed. */
function currentFolder(): { hostFolder?: string } {
  try {
    return { hostFolder: process.cwd() };
  } catch {
    return {};
  }
}

export function shellCommand(cli: Cli): Command {
  return command("shell", "open a shell in an instance", "shell web")
    .aliases(["sh", "connect"])
    .argument("[name]", "instance; it is started if needed (default: the primary instance)")
    .option("--timeout <seconds>", TIMEOUT_HELP)
    .action(async (given: string | undefined, options: { timeout?: string }) => {
      const timeout = parseTimeout(options.timeout);
      const waiting = timeout === undefined ? {} : { timeout };
      if (!canAsk(cli.io)) {
        throw failure("USAGE", { reason: "shell needs a terminal; use exec in scripts" });
      }
      const strata = await cli.strata();
      const names = await chosenNames(strata, given === undefined ? [] : [given], false);
      await launchPrimary(cli, strata, names, waiting);
      const over = new AbortController();
      const call = { ...cli.call, signal: AbortSignal.any([cli.call.signal, over.signal]) };
      const session = await strata.guest.shell(names[0] ?? "", {
        tty: terminal(cli.io),
        ...waiting,
        ...call,
      });
      cli.progress.clear();
      cli.exit(await connect(cli.io, session, over));
    });
}

function terminal({ stdout, env }: Io) {
  const size =
    "columns" in stdout ? { columns: stdout.columns, rows: stdout.rows } : { columns: 80, rows: 24 };
  return { ...size, term: env.TERM ?? "xterm" };
}

/**
 * Connects our streams with those of the command until it ends; resolves to its exit status. `over` ends it
 * when its output cannot be delivered any more.
 */
async function connect(
  io: Io,
  session: ExecSession,
  over: AbortController,
  withInput = true,
): Promise<number> {
  const { stdout } = io;
  // The input is not even closed: the next program that reads it must find all of it.
  const stdin = withInput ? io.stdin : undefined;
  const raw = stdin !== undefined && "setRawMode" in stdin && canAsk(io) ? stdin : undefined;
  const resize = () => "columns" in stdout && session.resize(stdout.columns, stdout.rows);
  raw?.setRawMode(true);
  stdout.on("resize", resize);
  // The command may end before it has read all of its input.
  session.stdin.on("error", () => {});
  if (stdin === undefined) {
    session.stdin.end();
  } else {
    stdin.pipe(session.stdin);
  }
  try {
    const output = pipeline(session.stdout, stdout, { end: false });
    const errors = pipeline(session.stderr, io.stderr, { end: false });
    const [ended] = await Promise.all([session.exit, output, errors]);
    return ended.code ?? 128 + signalNumber(ended.signal);
  } catch (error) {
    session.exit.catch(() => {});
    over.abort();
    throw error;
  } finally {
    stdin?.unpipe(session.stdin);
    stdin?.pause();
    if (stdin !== undefined && "unref" in stdin) {
      stdin.unref();
    }
    stdout.off("resize", resize);
    raw?.setRawMode(false);
  }
}

function signalNumber(name = "TERM"): number {
  const numbers: Readonly<Record<string, number>> = constants.signals;
  return numbers[`SIG${name}`] ?? constants.signals.SIGTERM;
}

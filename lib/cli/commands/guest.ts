import { constants } from "node:os";
import { pipeline } from "node:stream/promises";
import type { Command } from "commander";
import type { ExecSession } from "../../engine/contract.ts";
import { failure } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { canAsk, type Io } from "../io.ts";
import { chosenNames, launchPrimary } from "./lifecycle.ts";

export function execCommand(cli: Cli): Command {
  return command(
    "exec",
    "run a command in an instance",
    "exec web -- uname -a",
    "exec web -d /srv -- sh -c 'ls | wc -l'",
  )
    .argument("<name>", "running instance")
    .argument("[command...]", "command and its arguments, after --")
    .option("-d, --working-directory <dir>", "folder in the guest to run the command in")
    .option(
      "-n, --no-map-working-directory",
      "run in the user's home, even if the current folder is mounted in the instance",
    )
    .action(async (name: string, given: string[], options: ExecFlags) => {
      const argv = given[0] === "--" ? given.slice(1) : given;
      if (argv.length === 0) {
        throw failure("USAGE", { reason: "exec needs a command, such as: exec NAME -- uname -a" });
      }
      const strata = await cli.strata();
      const cwd = options.workingDirectory;
      const over = new AbortController();
      const session = await strata.guest.exec(name, argv, {
        signal: AbortSignal.any([cli.call.signal, over.signal]),
        ...(cwd === undefined ? {} : { cwd }),
        ...(options.mapWorkingDirectory ? currentFolder() : {}),
        ...(canAsk(cli.io) ? { tty: terminal(cli.io) } : {}),
      });
      cli.exit(await connect(cli.io, session, over));
    });
}

interface ExecFlags {
  workingDirectory?: string;
  mapWorkingDirectory: boolean;
}

/** Nothing where the folder that we are in has been removed. */
function currentFolder(): { hostFolder?: string } {
  try {
    return { hostFolder: process.cwd() };
  } catch {
    return {};
  }
}

export function shellCommand(cli: Cli): Command {
  return command("shell", "open a shell in an instance", "shell web")
    .argument("[name]", "instance; it is started if needed (default: the primary instance)")
    .action(async (given: string | undefined) => {
      if (!canAsk(cli.io)) {
        throw failure("USAGE", { reason: "shell needs a terminal; use exec in scripts" });
      }
      const strata = await cli.strata();
      const names = await chosenNames(strata, given === undefined ? [] : [given], false);
      await launchPrimary(cli, strata, names);
      const over = new AbortController();
      const call = { ...cli.call, signal: AbortSignal.any([cli.call.signal, over.signal]) };
      const session = await strata.guest.shell(names[0] ?? "", { tty: terminal(cli.io), ...call });
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
 * Connects our streams with the command's until it ends; resolves to its exit status. `over` ends it where
 * nobody gets its output any more.
 */
async function connect(io: Io, session: ExecSession, over: AbortController): Promise<number> {
  const { stdin, stdout } = io;
  const raw = "setRawMode" in stdin && canAsk(io) ? stdin : undefined;
  const resize = () => "columns" in stdout && session.resize(stdout.columns, stdout.rows);
  raw?.setRawMode(true);
  stdout.on("resize", resize);
  stdin.pipe(session.stdin);
  // The command may end before it has read all of its input.
  session.stdin.on("error", () => {});
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
    stdin.unpipe(session.stdin);
    stdin.pause();
    if ("unref" in stdin) {
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

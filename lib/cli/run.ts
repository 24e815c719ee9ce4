import { CommanderError } from "commander";
import { asStrataError, EXIT, type StrataError } from "../errors.ts";
import { defaultFolders } from "../settings/folders.ts";
import { expandAlias, firstWord } from "./alias.ts";
import { causesOf } from "./causes.ts";
import { type Cli, createCli, type OpenCli, type Opener } from "./cli.ts";
import { errorPrefix } from "./colour.ts";
import { farCommandOf } from "./far-command.ts";
import { printable } from "./format/cell.ts";
import { type Io, processIo } from "./io.ts";
import { comesOf, hasSeenEnough, lossOf, outputFailure, watch } from "./output.ts";
import { createProgram } from "./program.ts";
import { refuseUnknown } from "./unknown.ts";

/** Runs one command line (without node and script) and resolves to the exit code. */
export async function run(
  argv: readonly string[],
  o: { readonly io?: Io; readonly open?: Opener; readonly signal?: AbortSignal } = {},
): Promise<number> {
  const io = watchingErrors(o.io ?? processIo);
  const interrupt = new AbortController();
  const signal = o.signal === undefined ? interrupt.signal : AbortSignal.any([o.signal, interrupt.signal]);
  const onInterrupt = () => {
    // The first signal asks for a clean end; the second one ends at once.
    if (interrupt.signal.aborted) {
      process.exit(EXIT.cancelled);
    }
    interrupt.abort();
  };
  process.on("SIGINT", onInterrupt);
  process.on("SIGTERM", onInterrupt);
  const opened = createCli(io, signal, o.open);
  let words: readonly string[] = [];
  try {
    const far = farCommandOf(argv, io.env);
    if (far !== undefined) {
      const { forward } = await import("./forward.ts");
      return (await forward(opened.cli, far)) ?? (await ended(opened, far.words, undefined));
    }
    watch(io.stdout);
    const program = createProgram(opened.cli, argv);
    const expanded = await expandAlias(program, argv, defaultFolders(io.env));
    words = expanded.slice(firstWord(program, expanded));
    refuseUnknown(program, expanded);
    await program.parseAsync([...expanded], { from: "user" });
    return await ended(opened, words, undefined);
  } catch (error) {
    return await ended(opened, words, error);
  } finally {
    await opened.close();
    process.off("SIGINT", onInterrupt);
    process.off("SIGTERM", onInterrupt);
  }
}

/**
 * The same streams, of which standard error is watched from its first use on: a failure of it cannot be reported
 * anywhere. Most commands do not use it.
 */
function watchingErrors(io: Io): Io {
  return {
    get stdin() {
      return io.stdin;
    },
    get stdout() {
      return io.stdout;
    },
    get stderr() {
      watch(io.stderr);
      return io.stderr;
    },
    env: io.env,
  };
}

/**
 * Reports how a command ended that threw `error` or, undefined, came to its end; resolves to the exit code. `words`
 * begin with the command.
 */
async function ended(
  { cli, exitCode, logEnd }: OpenCli,
  words: readonly string[],
  error: unknown,
): Promise<number> {
  const loss = await lossOf(cli.io.stdout);
  cli.progress.clear();
  const ending = endingOf(error, loss, exitCode());
  for (const failure of ending.failures) {
    report(cli, failure);
  }
  const code = ending.failures[0]?.exitCode ?? ending.exitCode;
  logEnd(words, code, ending.failures);
  return code;
}

interface Ending {
  /** What is reported; the first has the exit code. */
  readonly failures: readonly StrataError[];
  /** Where nothing is reported. */
  readonly exitCode: number;
}

/** `loss`: what went wrong with standard output. `exitCode`: of a command that came to its end. */
function endingOf(error: unknown, loss: Error | undefined, exitCode: number): Ending {
  const lostOutput = (rest: string) =>
    loss === undefined || hasSeenEnough(loss) ? [] : [outputFailure(loss, rest)];
  const isHelp = error instanceof CommanderError && error.exitCode === 0;
  if (error === undefined || isHelp) {
    return { failures: lostOutput("the command itself was carried out"), exitCode: isHelp ? 0 : exitCode };
  }
  if (loss !== undefined && comesOf(error, loss)) {
    return { failures: lostOutput("the command stopped there"), exitCode: 0 };
  }
  if (error instanceof CommanderError) {
    return { failures: [], exitCode: EXIT.usage };
  }
  return { failures: [asStrataError(error), ...lostOutput("the command had failed anyway")], exitCode: 0 };
}

function report(cli: Cli, error: StrataError): void {
  const { io, global } = cli;
  const each = error.errors.length > 0 ? error.errors : [error];
  for (const { message } of each) {
    io.stderr.write(`${errorPrefix(cli)} ${printable(message)}\n`);
  }
  for (const hint of new Set(each.map(({ hint }) => hint))) {
    if (hint !== undefined) {
      io.stderr.write(`${printable(hint)}\n`);
    }
  }
  const { console } = error.details;
  if (typeof console === "string") {
    io.stderr.write("The last lines of its console:\n");
    for (const line of console.split("\n")) {
      io.stderr.write(`  ${printable(line)}\n`);
    }
  }
  if (global.verbosity > 0) {
    for (const cause of causesOf(error.cause)) {
      io.stderr.write(`  caused by ${printable(cause)}\n`);
    }
  }
}

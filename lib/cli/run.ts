import { CommanderError } from "commander";
import { asStrataError, EXIT, type StrataError } from "../errors.ts";
import { defaultFolders } from "../settings/folders.ts";
import { expandAlias } from "./alias.ts";
import { causesOf, createCli, type OpenCli, type Opener } from "./cli.ts";
import { printable } from "./format/cell.ts";
import { type Io, processIo } from "./io.ts";
import { comesOf, hasSeenEnough, lossOf, outputFailure, watch } from "./output.ts";
import { createProgram } from "./program.ts";

/** Runs one command line (without node and script) and resolves to the exit code. */
export async function run(
  argv: readonly string[],
  o: { readonly io?: Io; readonly open?: Opener; readonly signal?: AbortSignal } = {},
): Promise<number> {
  const io = o.io ?? processIo;
  const interrupt = new AbortController();
  const signal = o.signal === undefined ? interrupt.signal : AbortSignal.any([o.signal, interrupt.signal]);
  const onInterrupt = () => {
    // The first asks; whoever does not want to wait for a clean end asks twice.
    if (interrupt.signal.aborted) {
      process.exit(EXIT.cancelled);
    }
    interrupt.abort();
  };
  process.on("SIGINT", onInterrupt);
  process.on("SIGTERM", onInterrupt);
  watch(io.stdout);
  // What cannot be told on standard error can be told nowhere.
  watch(io.stderr);
  const opened = createCli(io, signal, o.open);
  try {
    const program = createProgram(opened.cli);
    const words = await expandAlias(program, argv, defaultFolders(io.env));
    await program.parseAsync([...words], { from: "user" });
    return await ended(io, opened, undefined);
  } catch (error) {
    return await ended(io, opened, error);
  } finally {
    await opened.close();
    process.off("SIGINT", onInterrupt);
    process.off("SIGTERM", onInterrupt);
  }
}

/** Tells how a command has ended that threw `error` or, undefined, came to its end; resolves to the exit code. */
async function ended(io: Io, { cli, exitCode, logFailure }: OpenCli, error: unknown): Promise<number> {
  const loss = await lossOf(io.stdout);
  cli.progress.clear();
  const tell = (failure: StrataError) => {
    report(io, failure, cli.global.verbosity);
    logFailure(failure);
    return failure.exitCode;
  };
  const isHelp = error instanceof CommanderError && error.exitCode === 0;
  if (error === undefined || isHelp) {
    if (loss === undefined || hasSeenEnough(loss)) {
      return isHelp ? 0 : exitCode();
    }
    return tell(outputFailure(loss, "the command itself was carried out"));
  }
  if (loss !== undefined && comesOf(error, loss)) {
    return hasSeenEnough(loss) ? 0 : tell(outputFailure(loss, "the command stopped there"));
  }
  if (error instanceof CommanderError) {
    return EXIT.usage;
  }
  const code = tell(asStrataError(error));
  if (loss !== undefined && !hasSeenEnough(loss)) {
    tell(outputFailure(loss, "the command had failed anyway"));
  }
  return code;
}

function report(io: Io, error: StrataError, verbosity: number): void {
  io.stderr.write(`strata: ${printable(error.message)}\n`);
  if (error.hint !== undefined) {
    io.stderr.write(`${printable(error.hint)}\n`);
  }
  if (verbosity > 0) {
    for (const cause of causesOf(error.cause)) {
      io.stderr.write(`  caused by ${printable(cause)}\n`);
    }
  }
}

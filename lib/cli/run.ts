import { CommanderError } from "commander";
import { asStrataError, EXIT, type StrataError } from "../errors.ts";
import { defaultFolders } from "../settings/folders.ts";
import { expandAlias } from "./alias.ts";
import { causesOf, createCli, type Opener } from "./cli.ts";
import { printable } from "./format/cell.ts";
import { type Io, processIo } from "./io.ts";
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
    if (interrupt.signal.aborted) process.exit(EXIT.cancelled);
    interrupt.abort();
  };
  process.on("SIGINT", onInterrupt);
  process.on("SIGTERM", onInterrupt);
  const { cli, logFailure, close, exitCode } = createCli(io, signal, o.open);
  try {
    const program = createProgram(cli);
    const words = await expandAlias(program, argv, defaultFolders(io.env));
    await program.parseAsync([...words], { from: "user" });
    return exitCode();
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.usage;
    if (isBrokenPipe(error)) return 0;
    cli.progress.clear();
    const failure = asStrataError(error);
    report(io, failure, cli.global.verbosity);
    logFailure(failure);
    return failure.exitCode;
  } finally {
    await close();
    process.off("SIGINT", onInterrupt);
    process.off("SIGTERM", onInterrupt);
  }
}

/** Whoever read our output has seen enough. */
function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EPIPE";
}

function report(io: Io, error: StrataError, verbosity: number): void {
  io.stderr.write(`strata: ${printable(error.message)}\n`);
  if (error.hint !== undefined) io.stderr.write(`${printable(error.hint)}\n`);
  if (verbosity > 0)
    for (const cause of causesOf(error.cause)) io.stderr.write(`  caused by ${printable(cause)}\n`);
}

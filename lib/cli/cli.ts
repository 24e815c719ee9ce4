import type { StrataGuest } from "../core/api/guest.ts";
import type { OpenStrataOptions, Strata } from "../core/api/strata.ts";
import type { Context } from "../engine/contract.ts";
import { asStrataError, type StrataError } from "../errors.ts";
import { defaultFolders } from "../settings/folders.ts";
import { stopwatch } from "../util/stopwatch.ts";
import { causesOf } from "./causes.ts";
import { warningPrefix } from "./colour.ts";
import { printable } from "./format/cell.ts";
import type { Io } from "./io.ts";
import type { CommandLog } from "./log.ts";
import { type ProgressLine, progressLine } from "./progress.ts";

/** What a command works with. */
export interface Cli {
  readonly io: Io;
  /** Opens strata once; heavy modules are loaded only now. */
  strata(): Promise<Strata>;
  /** Signal and progress for long calls. */
  readonly call: Required<Context>;
  readonly progress: ProgressLine;
  /** Writes a line to standard error about what to do next, unless the command is to be quiet. */
  note(text: string): void;
  /** Sets the exit code of a command that did not fail by an error. */
  exit(code: number): void;
  readonly global: GlobalOptions;
  /** Guests of another host, where the command is about those. */
  readonly farGuests?: Pick<StrataGuest, "transfer">;
}

/** Options before or after any command. */
export interface GlobalOptions {
  driver: string | undefined;
  verbosity: number;
  /** Only errors are written to standard error: no progress, no warnings, no hints at what to do next. */
  quiet: boolean;
  /** False with --no-color. */
  colour: boolean;
}

export interface OpenCli {
  readonly cli: Cli;
  /** Writes how a command ended that came as far as to need strata; `words` begin with the command. */
  logEnd(words: readonly string[], exitCode: number, failures: readonly StrataError[]): void;
  close(): Promise<void>;
  readonly exitCode: () => number;
}

/** Opens strata; tests bring their own. */
export type Opener = (options: OpenStrataOptions) => Promise<Strata>;

const openReal: Opener = async (options) => (await import("../core/session/open.ts")).openStrata(options);

export function createCli(io: Io, signal: AbortSignal, open: Opener = openReal): OpenCli {
  const global: GlobalOptions = { driver: undefined, verbosity: 0, quiet: false, colour: true };
  const elapsed = stopwatch();
  const progress = progressLine(io, () => global.verbosity > 0);
  let opened: Promise<Strata> | undefined;
  let code = 0;
  let log: CommandLog | undefined;
  let phase = "";
  const strata = async () => {
    const driver = global.driver ?? io.env.STRATA_DRIVER;
    log = await openLog(io, global.verbosity, progress);
    return open({
      ...(driver === undefined ? {} : { driver }),
      settings: engineSettings(io.env),
      folders: defaultFolders(io.env),
      log,
    });
  };
  return {
    cli: {
      io,
      global,
      progress,
      strata: () => {
        opened ??= strata();
        return opened;
      },
      call: {
        signal,
        progress: (step) => {
          if (step.phase !== phase) {
            phase = step.phase;
            log?.phase(phase);
          }
          if (!global.quiet) {
            progress.show(step);
          }
        },
        warn: (message) => {
          if (!global.quiet) {
            progress.above(`${warningPrefix({ io, global })} ${printable(message)}\n`);
          }
        },
      },
      note: (text) => {
        if (!global.quiet) {
          progress.above(`${printable(text)}\n`);
        }
      },
      exit: (value) => {
        code = value;
      },
    },
    logEnd: (words, exit, failures) => log?.ended({ words, exit, failures, ms: Math.round(elapsed()) }),
    close: async () => {
      progress.clear();
      // The reason why it could not be opened was reported already.
      const strata = await opened?.catch(() => undefined);
      try {
        await strata?.[Symbol.asyncDispose]();
      } catch (error) {
        // The command has finished, and its exit code is used.
        io.stderr.write(`${warningPrefix({ io, global })} ${printable(asStrataError(error).message)}\n`);
        log?.warn("closing failed", { causes: causesOf(error) });
      }
      await log?.[Symbol.asyncDispose]();
    },
    exitCode: () => code,
  };
}

/** Settings of engines from the environment: STRATA_ENGINE_KEY is `local.engine.key`. */
function engineSettings(env: NodeJS.ProcessEnv): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    const [, engine, key] = /^STRATA_([A-Z][A-Z0-9]*)_([A-Z][A-Z0-9_]*)$/.exec(name) ?? [];
    if (engine !== undefined && key !== undefined && value !== undefined) {
      found[`local.${engine}.${key.replaceAll("_", "-")}`.toLowerCase()] = value;
    }
  }
  return found;
}

async function openLog(io: Io, verbosity: number, progress: ProgressLine): Promise<CommandLog> {
  const { createLog } = await import("./log.ts");
  return createLog(defaultFolders(io.env).state, verbosity, (text) => progress.above(text));
}

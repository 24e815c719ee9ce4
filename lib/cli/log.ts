import { once } from "node:events";
import { userInfo } from "node:os";
import { Writable } from "node:stream";
import type { Logger } from "winston";
import type { Log } from "../engine/contract.ts";
import { EXIT, type StrataError } from "../errors.ts";
import { causesOf } from "./causes.ts";
import { ASK } from "./commands/completion.ts";
import { printable } from "./format/cell.ts";
import { logFile } from "./log-file.ts";
import { loggable } from "./loggable.ts";
import { watchTraces } from "./traces.ts";

/** What is shown without `-v`, and with one to four of them. */
const SHOWN = ["warn", "info", "debug", "trace", "frame"] as const;
const LEVELS = { error: 0, warn: 1, info: 2, debug: 3, trace: 4, frame: 5 } as const;
export type Level = keyof typeof LEVELS;

/** A message for the terminal and for the file; `details` are for the file alone where they say the same again. */
export interface Message {
  readonly level: Level;
  readonly text: string;
  readonly details?: object;
  /** True where the text has it all. */
  readonly whole?: true;
}

export interface CommandLog extends Log, AsyncDisposable {
  /** Notes what a command is doing now, in the file alone. */
  phase(text: string): void;
  /** Notes how the command has ended, in the file alone. */
  ended(outcome: Outcome): void;
}

export interface Outcome {
  /** The command line from the command on. */
  readonly words: readonly string[];
  readonly exit: number;
  readonly failures: readonly StrataError[];
  readonly ms: number;
}

/**
 * Logs to standard error by verbosity, and to a file in the state folder all but calls and frames. Only
 * standard error needs the logger, which is loaded by the first message that is shown there: most commands
 * have none, and a line in the file must not cost them the loading of it.
 */
export function createLog(folder: string, verbosity: number, stderr: (text: string) => void): CommandLog {
  const shown = LEVELS[SHOWN[Math.min(verbosity, SHOWN.length - 1)] ?? "warn"];
  let logger: Promise<Logger> | undefined;
  const show = ({ level, text, details, whole }: Message) => {
    if (LEVELS[level] > shown) {
      return;
    }
    logger ??= openLogger(stderr);
    logger = logger.then((open) => {
      open.log(level, text, whole === true ? {} : details);
      return open;
    });
  };
  // A log that cannot be written must not keep anybody from working.
  const file = logFile(folder, (error) =>
    show({ level: "warn", text: "there is no log file", details: { reason: String(error) } }),
  );
  const keep = ({ level, text, details }: Message) => {
    if (LEVELS[level] > LEVELS.debug) {
      return;
    }
    const line = { timestamp: new Date(), level, message: text, pid: process.pid, ...details };
    file.write(`${JSON.stringify(line, bigints)}\n`);
  };
  const add = (message: Message) => {
    show(message);
    keep(message);
  };
  const watched = watchTraces(verbosity, add);
  const at = (level: Level) => (text: string, details?: object) =>
    add({ level, text, ...(details === undefined ? {} : { details }) });
  return {
    error: at("error"),
    warn: at("warn"),
    info: at("info"),
    debug: at("debug"),
    phase: (text) => keep({ level: "info", text }),
    ended({ words, exit, failures, ms }) {
      // Pressing the Tab key is no command.
      if (words[0] === ASK) {
        return;
      }
      const argv = loggable(words);
      const instances = watched.instances();
      const reasons = failures.map(reasonOf);
      const details = { argv, user: userName(), instances, ms, exit, ...Object.assign({}, ...reasons) };
      keep({ level: "info", text: "command", details });
    },
    async [Symbol.asyncDispose]() {
      watched[Symbol.dispose]();
      const open = await logger;
      if (open === undefined) {
        return;
      }
      const finished = once(open, "finish");
      open.end();
      await finished;
    },
  };
}

/**
 * Neither a failure's message nor what it was filled with: a URL in it may hold a password. What was asked for
 * wrongly is the user's to see, not the log's: the causes may quote it.
 */
function reasonOf({ code, exitCode, cause }: StrataError): object {
  return exitCode === EXIT.usage ? { code } : { code, causes: causesOf(cause) };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A user without an entry in the host's list of users, as in some containers.
    return String(process.getuid?.() ?? "");
  }
}

async function openLogger(stderr: (text: string) => void): Promise<Logger> {
  const { default: winston } = await import("winston");
  const line = winston.format.printf(({ level, message, ...details }) => {
    const rest = Object.keys(details).length === 0 ? "" : ` ${JSON.stringify(details, bigints)}`;
    return printable(`strata: ${level}: ${String(message)}${rest}`);
  });
  const stream = new Writable({
    decodeStrings: false,
    write(text: unknown, _, done) {
      stderr(String(text));
      done();
    },
  });
  return winston.createLogger({
    levels: LEVELS,
    level: "frame",
    transports: [new winston.transports.Stream({ stream, format: line })],
  });
}

function bigints(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}

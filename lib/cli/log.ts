import { once } from "node:events";
import type { Logger } from "winston";
import type { Log } from "../engine/contract.ts";
import { printable } from "./format/cell.ts";
import { logFile } from "./log-file.ts";

/** Levels of `-v` to `-vvvv`; without it only warnings are shown. */
const LEVELS = ["warn", "info", "debug", "debug", "silly"] as const;

/**
 * Logs to standard error according to the verbosity, and to a file in the state folder at the level "debug".
 * The logger is loaded by the first message, since most commands log nothing.
 */
export function createLog(
  folder: string,
  verbosity: number,
  stderr: NodeJS.WritableStream,
): Log & AsyncDisposable {
  let logger: Promise<Logger> | undefined;
  const at = (level: Level) => (message: string, details?: object) => {
    logger ??= openLogger(folder, verbosity, stderr);
    logger = logger.then((open) => {
      open.log(level, message, details);
      return open;
    });
  };
  return {
    error: at("error"),
    warn: at("warn"),
    info: at("info"),
    debug: at("debug"),
    async [Symbol.asyncDispose]() {
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

type Level = "error" | "warn" | "info" | "debug";

async function openLogger(folder: string, verbosity: number, stream: NodeJS.WritableStream): Promise<Logger> {
  const { default: winston } = await import("winston");
  const { combine, timestamp, json, printf } = winston.format;
  const line = printf(({ level, message, timestamp: _, ...details }) => {
    const rest = Object.keys(details).length === 0 ? "" : ` ${JSON.stringify(details, bigints)}`;
    return printable(`strata: ${level}: ${String(message)}${rest}`);
  });
  // A log that cannot be written must not prevent the command from working.
  const giveUp = (error: unknown) => {
    stream.write(
      printable(`strata: warn: there is no log file ${JSON.stringify({ reason: String(error) })}\n`),
    );
  };
  return winston.createLogger({
    levels: winston.config.npm.levels,
    transports: [
      new winston.transports.Stream({
        stream,
        level: LEVELS[Math.min(verbosity, LEVELS.length - 1)] ?? "warn",
        format: line,
      }),
      new winston.transports.Stream({
        stream: logFile(folder, giveUp),
        level: "debug",
        format: combine(timestamp(), json({ replacer: bigints })),
      }),
    ],
  });
}

function bigints(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}

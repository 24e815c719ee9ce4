import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import winston from "winston";
import type { Log } from "../backend/contract.ts";

/** Levels of `-v` to `-vvvv`; without it only warnings are shown. */
const LEVELS = ["warn", "info", "debug", "debug", "silly"] as const;

const FILE_SIZE = 5 * 1024 * 1024;

/** Logs to standard error by verbosity, and to a file in the state folder by the level "debug". */
export function createLog(folder: string, verbosity: number): Log {
  const { combine, timestamp, json, printf } = winston.format;
  const line = printf(({ level, message, timestamp: _, ...details }) => {
    const rest = Object.keys(details).length === 0 ? "" : ` ${JSON.stringify(details, bigints)}`;
    return `strata: ${level}: ${String(message)}${rest}`;
  });
  const levels = Object.keys(winston.config.npm.levels);
  const logger = winston.createLogger({
    levels: winston.config.npm.levels,
    transports: [
      new winston.transports.Console({
        level: LEVELS[Math.min(verbosity, LEVELS.length - 1)] ?? "warn",
        stderrLevels: levels,
        format: line,
      }),
    ],
  });
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    chmodSync(folder, 0o700);
    logger.add(
      new winston.transports.File({
        filename: join(folder, "strata.log"),
        level: "debug",
        maxsize: FILE_SIZE,
        maxFiles: 3,
        options: { flags: "a", mode: 0o600 },
        format: combine(timestamp(), json({ replacer: bigints })),
      }),
    );
  } catch (error) {
    // A log that cannot be written must not keep anybody from working.
    logger.warn("there is no log file", { reason: String(error) });
  }
  return {
    error: (message, details) => void logger.error(message, details),
    warn: (message, details) => void logger.warn(message, details),
    info: (message, details) => void logger.info(message, details),
    debug: (message, details) => void logger.debug(message, details),
  };
}

function bigints(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}

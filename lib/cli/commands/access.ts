import type { Command } from "commander";
import { failure } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { write } from "../io.ts";
import { parseTimeout } from "./launch.ts";

export function waitReadyCommand(cli: Cli): Command {
  return command("wait-ready", "wait until the engine answers", "wait-ready --timeout 60")
    .option("--timeout <seconds>", "how long to wait (default: no limit)")
    .action(async (options: { timeout?: string }) => {
      const timeout = parseTimeout(options.timeout);
      await (await cli.strata()).engine.waitReady({
        ...(timeout === undefined ? {} : { timeout }),
        ...cli.call,
      });
    });
}

export function authenticateCommand(cli: Cli): Command {
  return command("authenticate", "check whether this user may use the engine", "authenticate")
    .alias("auth")
    .argument("[passphrase]", "always refused: strata has no passphrase")
    .action(async (passphrase: string | undefined) => {
      if (passphrase !== undefined) {
        throw failure("NO_PASSPHRASE");
      }
      const { engine } = await (await cli.strata()).engine.info();
      await write(cli.io, `You may use ${engine}.\n`);
    });
}

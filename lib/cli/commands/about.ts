import type { Command } from "commander";
import { VERSION } from "../../version.ts";
import type { Cli } from "../cli.ts";
import { command, formatOption } from "../command.ts";
import { parseFormat } from "../format/format.ts";
import { formatVersion } from "../format/version.ts";
import { write } from "../io.ts";

export function versionCommand(cli: Cli): Command {
  return command("version", "show the version", "version --format json")
    .addOption(formatOption())
    .action(async (options: { format: string }) => {
      await write(cli.io, formatVersion(VERSION, parseFormat(options.format)));
    });
}

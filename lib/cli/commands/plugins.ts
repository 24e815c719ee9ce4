import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { command, formatOption } from "../command.ts";
import { parseFormat } from "../format/format.ts";
import { formatPlugins } from "../format/plugins.ts";
import { write } from "../io.ts";

export function pluginsCommand(cli: Cli): Command {
  return command(
    "plugins",
    ["list the engines", "list the engines with their features and requirements"],
    "plugins --format json",
  )
    .addOption(formatOption())
    .action(async (options: { format: string }) => {
      const format = parseFormat(options.format);
      await write(cli.io, formatPlugins(await (await cli.strata()).plugins.list(), format));
    });
}

import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { command, formatOption } from "../command.ts";
import { parseFormat } from "../format/format.ts";
import { formatNetworks } from "../format/networks.ts";
import { write } from "../io.ts";

export function networksCommand(cli: Cli): Command {
  return command("networks", "list the networks that instances can use", "networks", "networks --format csv")
    .addOption(formatOption())
    .action(async (options: { format: string }) => {
      const format = parseFormat(options.format);
      await write(cli.io, formatNetworks(await (await cli.strata()).networks.list(), format));
    });
}

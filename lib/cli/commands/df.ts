import type { Command } from "commander";
import { EXIT } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { errorPrefix, paletteOf } from "../colour.ts";
import { command, formatOption } from "../command.ts";
import { printable } from "../format/cell.ts";
import { formatDiskUsage } from "../format/disk-usage.ts";
import { parseFormat } from "../format/format.ts";
import { write } from "../io.ts";

export function dfCommand(cli: Cli): Command {
  return command(
    "df",
    ["show what images and instances take on the disk", "show what strata's files take on this host"],
    "df",
    "df --format json",
  )
    .addOption(formatOption())
    .action(async (options: { format: string }) => {
      const format = parseFormat(options.format);
      const usage = await (await cli.strata()).maintenance.usage(cli.call);
      cli.progress.clear();
      await write(cli.io, formatDiskUsage(usage, format, paletteOf(cli, "stdout")));
      // What is missing is a failure, which a script must be able to notice.
      for (const { engine, error } of usage.failures) {
        cli.io.stderr.write(`${errorPrefix(cli)} engine ${engine}: ${printable(error.message)}\n`);
        cli.exit(error.exitCode ?? EXIT.failure);
      }
    });
}

import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { command, formatOption } from "../command.ts";
import { printable } from "../format/cell.ts";
import { formatFind } from "../format/find.ts";
import { parseFormat } from "../format/format.ts";
import { write } from "../io.ts";

interface Options {
  showUnsupported?: boolean;
  forceUpdate?: boolean;
  format: string;
}

export function findCommand(cli: Cli): Command {
  return command("find [text]", "show the images that can be launched", "find", "find daily:", "find noble")
    .option("--only-images", "show images only; strata offers nothing else")
    .option("--show-unsupported", "show those too that get no updates any more")
    .option("--force-update", "ask the remotes also if they were asked within the last day")
    .addOption(formatOption())
    .action(async (text: string | undefined, options: Options) => {
      const format = parseFormat(options.format);
      const offers = await (await cli.strata()).find(
        {
          ...(text === undefined ? {} : { text }),
          unsupported: options.showUnsupported === true,
          refresh: options.forceUpdate === true,
        },
        cli.call,
      );
      await write(cli.io, formatFind(offers, format));
      for (const error of offers.errors) cli.io.stderr.write(`strata: ${printable(error)}\n`);
    });
}

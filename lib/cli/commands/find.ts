import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { errorPrefix } from "../colour.ts";
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
  return command(
    "find",
    ["list the images to create instances from", "list the images that can be launched"],
    "find",
    "find daily:",
    "find noble",
  )
    .argument("[text]", "part of a name to look for, or REMOTE:")
    .option("--only-images", "list only images; strata offers nothing else")
    .option("--show-unsupported", "include images that no longer receive updates")
    .option("--force-update", "refresh the image lists even if they are less than a day old")
    .addOption(formatOption())
    .action(async (text: string | undefined, options: Options) => {
      const format = parseFormat(options.format);
      const offers = await (await cli.strata()).images.find({
        ...(text === undefined ? {} : { text }),
        unsupported: options.showUnsupported === true,
        refresh: options.forceUpdate === true,
        ...cli.call,
      });
      await write(cli.io, formatFind(offers, format));
      for (const error of offers.errors) {
        cli.io.stderr.write(`${errorPrefix(cli)} ${printable(error)}\n`);
      }
    });
}

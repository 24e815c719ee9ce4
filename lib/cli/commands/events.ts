import { type Command, Option } from "commander";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { formatEvent } from "../format/event.ts";
import { write } from "../io.ts";

export function eventsCommand(cli: Cli): Command {
  return command(
    "events",
    ["show events of instances until Ctrl-C", "show events of instances and snapshots until Ctrl-C"],
    "events",
    "events --format json",
  )
    .addOption(new Option("--format <format>", "output format").choices(["plain", "json"]).default("plain"))
    .action(async ({ format }: { format: string }) => {
      const strata = await cli.strata();
      for await (const event of strata.events(cli.call)) {
        if (!(await write(cli.io, formatEvent(event, format === "json")))) {
          return;
        }
      }
    });
}

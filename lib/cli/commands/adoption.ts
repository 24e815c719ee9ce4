import type { Command } from "commander";
import type { Candidate } from "../../core/api/strata.ts";
import { failure } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { command, formatOption } from "../command.ts";
import { columns, csvField, csvLines, printable } from "../format/cell.ts";
import { type Format, json, parseFormat, yaml } from "../format/format.ts";
import { write } from "../io.ts";

export function adoptCommand(cli: Cli): Command {
  return command(
    "adopt",
    [
      "manage a libvirt domain that strata did not create",
      "manage a libvirt domain that strata did not create, or list such domains",
    ],
    "adopt",
    "adopt build-server --username admin",
  )
    .argument("[domain]", "domain to adopt; without one, the domains that can be adopted are listed")
    .option("--username <user>", "user in the guest to log in as; without one, strata cannot log in")
    .addOption(formatOption())
    .action(async (domain: string | undefined, options: { username?: string; format: string }) => {
      const strata = await cli.strata();
      const { username } = options;
      if (domain === undefined) {
        if (username !== undefined) {
          throw failure("USAGE", { reason: "--username needs a domain to adopt" });
        }
        const format = parseFormat(options.format);
        await write(cli.io, formatCandidates(await strata.instances.candidates(), format));
        return;
      }
      await strata.instances.adopt(domain, { ...(username === undefined ? {} : { username }), ...cli.call });
      await write(cli.io, `Adopted: ${domain}\n`);
    });
}

export function releaseCommand(cli: Cli): Command {
  return command(
    "release",
    [
      "stop managing an adopted instance",
      "stop managing an adopted instance and write its contents to its own disk",
    ],
    "release build-server",
  )
    .argument("<name>", "adopted instance, stopped and without snapshots")
    .action(async (name: string) => {
      await (await cli.strata()).instances.release(name, cli.call);
      cli.progress.clear();
      await write(cli.io, `Released: ${name}\n`);
    });
}

function formatCandidates(candidates: readonly Candidate[], format: Format): string {
  switch (format) {
    case "json":
      return json({ list: candidates });
    case "yaml":
      return yaml(Object.fromEntries(candidates.map(({ name, obstacle }) => [name, [{ obstacle }]])));
    case "csv":
      return csvLines([
        ["Name", "Obstacle"],
        ...candidates.map(({ name, obstacle }) => [csvField(name), csvField(obstacle ?? "")]),
      ]);
    case "table":
      if (candidates.length === 0) {
        return "Nothing to adopt.\n";
      }
      return columns([
        ["Name", "Can be adopted"],
        ...candidates.map(({ name, obstacle }) => [printable(name), printable(obstacle ?? "yes")]),
      ]);
  }
}

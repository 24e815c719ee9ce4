import type { Command } from "commander";
import type { Candidate } from "../../core/api/strata.ts";
import { failure } from "../../errors.ts";
import { defined } from "../../util/defined.ts";
import type { Cli } from "../cli.ts";
import { collect, command, formatOption } from "../command.ts";
import { columns, csvField, csvLines, printable } from "../format/cell.ts";
import { type Format, json, parseFormat, yaml } from "../format/format.ts";
import { write } from "../io.ts";

interface AdoptFlags {
  username?: string;
  name?: string;
  exclude?: string[];
  format: string;
}

export function adoptCommand(cli: Cli): Command {
  return command(
    "adopt",
    [
      "manage a libvirt domain that strata did not create",
      "manage a libvirt domain that strata did not create, or list such domains",
    ],
    "adopt",
    "adopt build-server --username admin",
    "adopt 'Windows 11' --name win11",
    "adopt file-server --exclude vdb",
  )
    .argument("[domain]", "domain to adopt; without one, the domains that can be adopted are listed")
    .option("--username <user>", "user in the guest to log in as; without one, strata cannot log in")
    .option("--name <name>", "what strata calls it; the domain keeps its own name")
    .option("--exclude <disk>", "disk that snapshots are to leave out, such as vdb (repeatable)", collect)
    .addOption(formatOption())
    .action(async (domain: string | undefined, options: AdoptFlags) => {
      const strata = await cli.strata();
      const { username, name, exclude } = options;
      if (domain === undefined) {
        requireNone(options, ["username", "name", "exclude"]);
        const format = parseFormat(options.format);
        await write(cli.io, formatCandidates(await strata.instances.candidates(), format));
        return;
      }
      await strata.instances.adopt(domain, { ...defined({ username, name, exclude }), ...cli.call });
      await write(cli.io, `Adopted: ${name === undefined ? domain : `${domain} as ${name}`}\n`);
    });
}

/** Rejects an option that is only of use with a domain. */
function requireNone(options: AdoptFlags, names: readonly (keyof AdoptFlags)[]): void {
  const given = names.find((name) => options[name] !== undefined);
  if (given !== undefined) {
    throw failure("USAGE", { reason: `--${given} needs a domain to adopt` });
  }
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

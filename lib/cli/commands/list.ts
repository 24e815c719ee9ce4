import type { Command } from "commander";
import { failure, type StrataError } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { command, formatOption } from "../command.ts";
import { printable } from "../format/cell.ts";
import { type Format, parseFormat } from "../format/format.ts";
import { formatList } from "../format/list.ts";
import { formatSnapshotList, formatTrees } from "../format/snapshot-list.ts";
import { write } from "../io.ts";

export function listCommand(cli: Cli): Command {
  return command("list", "list instances or their snapshots", "list", "list --snapshots --tree web")
    .alias("ls")
    .argument("[names...]", "with --snapshots: instances whose snapshots are listed (default: all)")
    .option("--snapshots", "list snapshots instead of instances")
    .option("--tree", "with --snapshots: draw each instance's tree and mark its current snapshot")
    .option("--no-ipv4", "do not look up addresses")
    .addOption(formatOption())
    .action(async (names: string[], options: Flags) => {
      const format = parseFormat(options.format);
      const wanted = options.snapshots === true || options.tree === true;
      if (names.length > 0 && !wanted) {
        throw failure("USAGE", { reason: "list takes names with --snapshots; info shows an instance" });
      }
      await write(cli.io, await output(cli, names, options, format));
    });
}

interface Flags {
  snapshots?: boolean;
  tree?: boolean;
  ipv4: boolean;
  format: string;
}

async function output(cli: Cli, names: readonly string[], options: Flags, format: Format): Promise<string> {
  const strata = await cli.strata();
  if (options.snapshots !== true && options.tree !== true) {
    const listing = await strata.instances.listing({ addresses: options.ipv4 });
    // The list is incomplete, which a script must be able to notice.
    for (const { engine, error } of listing.failures) {
      complain(cli, engine, error);
    }
    return formatList(listing, format);
  }
  const trees = await strata.snapshots.list(names.length === 0 ? undefined : names);
  if (options.tree !== true || format !== "table") {
    return formatSnapshotList(trees, format);
  }
  const { stdout } = cli.io;
  const width = stdout.isTTY === true && "columns" in stdout ? stdout.columns : 0;
  return formatTrees(trees, { width, now: Date.now() });
}

function complain(cli: Cli, engine: string, { message, hint, exitCode }: StrataError): void {
  cli.io.stderr.write(`strata: engine ${engine}: ${printable([message, hint].filter(Boolean).join(". "))}\n`);
  cli.exit(exitCode);
}

import type { Command } from "commander";
import type { InstanceInfo, InstanceSummary, Listing, Strata } from "../../core/api/strata.ts";
import { failure, type StrataError } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { errorPrefix, paletteOf } from "../colour.ts";
import { command, formatOption } from "../command.ts";
import { printable } from "../format/cell.ts";
import { type Format, json, parseFormat, yaml } from "../format/format.ts";
import { formatList } from "../format/list.ts";
import { formatRows, type Selection, select, selectedFields } from "../format/rows.ts";
import { formatSnapshotList, formatTrees } from "../format/snapshot-list.ts";
import {
  INSTANCE_FIELDS,
  SNAPSHOT_FIELDS,
  SUMMARY_FIELDS,
  type Typed,
  typedInstance,
  typedSnapshot,
  typedSummary,
} from "../format/typed.ts";
import { write } from "../io.ts";
import {
  knownFields,
  type TypedFlags,
  type TypedRequest,
  typedRequest,
  typedText,
  withTypedOptions,
} from "../typed-output.ts";

export function listCommand(cli: Cli): Command {
  const made = command(
    "list",
    "list instances or their snapshots",
    "list",
    "list --snapshots --tree web",
    "list --columns name,memory,hostDisk --sort=-hostDisk --filter state=running",
    "list --jq '.[] | select(.cpus > 2).name'",
  )
    .alias("ls")
    .argument("[names...]", "with --snapshots: instances whose snapshots are listed (default: all)")
    .option("--all-hosts", "list the instances of this host and all contexts")
    .option("--snapshots", "list snapshots instead of instances")
    .option("--tree", "with --snapshots: draw each instance's tree and mark its current snapshot")
    .option("-q, --names", "print names alone")
    .option("--columns <fields>", `columns to show, of ${INSTANCE_FIELDS.join(", ")}`)
    .option(
      "--filter <field=value>",
      "show only those with this value, where * stands for anything (repeatable)",
      (value: string, before: readonly string[]) => [...before, value],
      [] as readonly string[],
    )
    .option("--sort <field>", "order by this field; -FIELD from the highest to the lowest")
    .option("--no-headers", "leave out the headings")
    .option("--no-ipv4", "do not look up addresses")
    .addOption(formatOption());
  return withTypedOptions(made).action(async (names: string[], options: Flags) => {
    const format = parseFormat(options.format);
    if (options.allHosts === true) {
      await write(cli.io, await listHosts(cli, names, options, format));
      return;
    }
    if (options.snapshots === true || options.tree === true) {
      await write(cli.io, await listSnapshots(cli, names, options, format));
      return;
    }
    if (names.length > 0) {
      throw failure("USAGE", { reason: "list takes names with --snapshots; info shows an instance" });
    }
    await write(cli.io, await listInstances(cli, options, format));
  });
}

interface Flags extends TypedFlags {
  allHosts?: boolean;
  snapshots?: boolean;
  tree?: boolean;
  names?: boolean;
  columns?: string;
  filter: readonly string[];
  sort?: string;
  headers: boolean;
  ipv4: boolean;
  format: string;
}

async function listSnapshots(
  cli: Cli,
  names: readonly string[],
  options: Flags,
  format: Format,
): Promise<string> {
  const { columns, filter, sort, headers } = options;
  if (columns !== undefined || filter.length > 0 || sort !== undefined || !headers) {
    throw failure("USAGE", {
      reason: "--columns, --filter, --sort and --no-headers are for instances; --jq selects snapshots",
    });
  }
  const request = typedRequest(options, options.format, SNAPSHOT_FIELDS);
  const strata = await cli.strata();
  const trees = await strata.snapshots.list(names.length === 0 ? undefined : names);
  const snapshots = trees.flatMap((tree) => tree.snapshots);
  if (request !== undefined) {
    return typedText(snapshots.map(typedSnapshot), request);
  }
  if (options.names === true) {
    return snapshots.map(({ instance, name }) => `${instance}.${name}\n`).join("");
  }
  if (options.tree !== true || format !== "table") {
    return formatSnapshotList(trees, format);
  }
  const { stdout } = cli.io;
  const width = stdout.isTTY === true && "columns" in stdout ? stdout.columns : 0;
  return formatTrees(trees, { width, now: Date.now() });
}

/** What is asked for of instances, checked before strata is opened. */
interface Request {
  readonly typed: TypedRequest | undefined;
  readonly columns: readonly string[] | undefined;
  readonly selection: Selection;
  /** The fields that are shown or looked at, beside those of every list. */
  readonly fields: readonly string[];
  /** Whether more has to be looked up than every list has. */
  readonly more: boolean;
}

function requestOf(options: Flags, format: Format, known: readonly string[] = INSTANCE_FIELDS): Request {
  const { filter: filters, sort, columns: list, headers, names } = options;
  const selection = { filters, sort };
  const typed = typedRequest(options, options.format, known);
  const columns = list === undefined ? undefined : knownFields(list, known, "--columns");
  const table = format === "table" || format === "csv";
  if ((columns !== undefined || !headers) && (typed !== undefined || !table || names === true)) {
    throw failure("USAGE", { reason: "--columns and --no-headers are for tables and csv" });
  }
  if (names === true && (typed !== undefined || format !== "table")) {
    throw failure("USAGE", { reason: "give --names or a format, not both" });
  }
  const shown = typed === undefined ? (columns ?? []) : (typed.fields ?? known);
  const fields: readonly string[] = [...shown, ...selectedFields(selection, known)];
  return { typed, columns, selection, fields, more: !fields.every(isSummaryField) };
}

function isSummaryField(field: string): boolean {
  return field === HOST || SUMMARY_FIELDS.some((known) => known === field);
}

/** The field that tells the hosts of a list apart. */
const HOST = "host";
const USUAL = ["name", "state", "ipv4", "release"] as const;

async function listHosts(
  cli: Cli,
  names: readonly string[],
  options: Flags,
  format: Format,
): Promise<string> {
  if (names.length > 0 || options.snapshots === true || options.tree === true || options.names === true) {
    throw failure("USAGE", { reason: "--all-hosts lists instances, with --columns, --filter and --sort" });
  }
  const { typed, columns, selection, fields, more } = requestOf(options, format, [HOST, ...INSTANCE_FIELDS]);
  const { listAllHosts } = await import("../all-hosts.ts");
  const { objects, failures, hasEngine } = await listAllHosts(cli, {
    fields: [...new Set([...USUAL, ...fields])].filter((field) => field !== HOST),
    addresses: options.ipv4,
    async here() {
      const strata = await cli.strata();
      const listing = await strata.instances.listing({ addresses: options.ipv4 });
      for (const { engine, error } of listing.failures) {
        complain(cli, `engine ${engine}`, error);
      }
      return listing.instances.map(more ? await looker(cli, strata) : typedSummary);
    },
  });
  if (!hasEngine) {
    cli.note("No engine is installed on this host: the list has the instances of the other hosts.");
  }
  for (const each of failures) {
    complain(cli, `host ${each.host}`, each);
  }
  const [first] = failures;
  if (first !== undefined) {
    cli.exit(first.exitCode);
  }
  const chosen = select(objects, (each) => each, selection);
  if (typed !== undefined) {
    return typedText(chosen, typed);
  }
  if (format === "table" || format === "csv") {
    const { headers } = options;
    return formatRows(chosen, columns ?? [HOST, ...USUAL], {
      format,
      headers,
      palette: paletteOf(cli, "stdout"),
    });
  }
  const list = chosen.map((each) =>
    Object.fromEntries([HOST, ...USUAL].map((field) => [field, each[field]])),
  );
  const errors = failures.map(({ host, message }) => ({ host, message }));
  return format === "json" ? json({ errors, list }) : yaml({ errors, list });
}

async function listInstances(cli: Cli, options: Flags, format: Format): Promise<string> {
  const { typed, columns, selection, more } = requestOf(options, format);
  const strata = await cli.strata();
  const listing = await strata.instances.listing({ addresses: options.ipv4 });
  // The list is incomplete, which a script must be able to notice.
  for (const { engine, error } of listing.failures) {
    complain(cli, `engine ${engine}`, error);
  }
  const typedOf = more ? await looker(cli, strata) : typedSummary;
  const instances = select(listing.instances, typedOf, selection);
  const objects = () => instances.map(typedOf);
  if (typed !== undefined) {
    return typedText(objects(), typed);
  }
  if (options.names === true) {
    return instances.map(({ name }) => `${name}\n`).join("");
  }
  const palette = paletteOf(cli, "stdout");
  if ((format === "table" || format === "csv") && (columns !== undefined || !options.headers)) {
    return formatRows(objects(), columns ?? usualColumns(listing), {
      format,
      headers: options.headers,
      palette,
    });
  }
  return formatList({ ...listing, instances }, format, palette);
}

function usualColumns({ engines }: Listing): readonly string[] {
  return [...(engines.length > 1 ? ["engine"] : []), ...USUAL];
}

/** What gives all fields of an instance; one that is gone meanwhile has those of the list. */
async function looker(cli: Cli, strata: Strata): Promise<(instance: InstanceSummary) => Typed> {
  const infos = await strata.instances.info(undefined, { askGuests: false, host: true, ...cli.call });
  const key = ({ engine, name }: InstanceSummary) => `${engine}/${name}`;
  const known = new Map<string, InstanceInfo>(infos.map((info) => [key(info), info]));
  return (instance) => {
    const info = known.get(key(instance));
    const { guest: _, ...typed } = info === undefined ? typedSummary(instance) : typedInstance(info);
    return { ...typed, ...typedSummary(instance) };
  };
}

function complain(
  cli: Cli,
  whose: string,
  { message, hint, exitCode }: Pick<StrataError, "message" | "hint" | "exitCode">,
): void {
  cli.io.stderr.write(
    `${errorPrefix(cli)} ${whose}: ${printable([message, hint].filter(Boolean).join(". "))}\n`,
  );
  cli.exit(exitCode);
}

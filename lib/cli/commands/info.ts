import type { Command } from "commander";
import type { InfoOptions, Ref, SnapshotInfo, SnapshotTreeInfo, Strata } from "../../core/api/strata.ts";
import { snapshotNotFound } from "../../core/snapshots/missing.ts";
import { checkEach } from "../../errors/check-each.ts";
import { EXIT, failure } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { paletteOf } from "../colour.ts";
import { command, formatOption } from "../command.ts";
import { parseFormat } from "../format/format.ts";
import { formatInfo, silentGuests } from "../format/info.ts";
import type { Infos } from "../format/infos.ts";
import { INFO_FIELDS, SNAPSHOT_FIELDS, typedInstance, typedSnapshot } from "../format/typed.ts";
import { write } from "../io.ts";
import {
  type TypedFlags,
  type TypedRequest,
  typedRequest,
  typedText,
  withTypedOptions,
} from "../typed-output.ts";
import { parseTimeout, START_TIMEOUT } from "./launch.ts";

export function infoCommand(cli: Cli): Command {
  const made = command(
    "info",
    "show the details of instances and snapshots",
    "info web web.snapshot1",
    "info --snapshots --format json",
    "info -o json=name,memory,hostDisk web",
  )
    .argument("[names...]", "instances, or snapshots as INSTANCE.SNAPSHOT (default: all instances)")
    .option("--snapshots", "show the snapshots instead of the instances")
    .option("--wait", "wait for guests that are still starting, and fail if one does not answer")
    .option("--timeout <seconds>", "with --wait: how long to wait for each guest (default: 300)")
    .option("--no-runtime-information", "do not ask guests for load, disk usage and memory usage")
    .addOption(formatOption());
  return withTypedOptions(made).action(async (names: string[], options: Flags) => {
    const format = parseFormat(options.format);
    const typed = typedRequest(options, options.format, [...new Set([...INFO_FIELDS, ...SNAPSHOT_FIELDS])]);
    const request = { ...infoRequest(options), ...(typed === undefined ? {} : { host: true }) };
    const infos = await collect(cli, names, options.snapshots === true, request);
    cli.progress.clear();
    await write(
      cli.io,
      typed === undefined
        ? formatInfo(infos, format, paletteOf(cli, "stdout"))
        : await typedInfo(infos, typed),
    );
    for (const silent of silentGuests(infos)) {
      cli.call.warn(silent);
      if (request.wait !== undefined) {
        cli.exit(EXIT.timeout);
      }
    }
  });
}

/** Instances, then snapshots. */
function typedInfo({ instances, snapshots }: Infos, request: TypedRequest): Promise<string> {
  return typedText([...instances.map(typedInstance), ...snapshots.map(typedSnapshot)], request);
}

interface Flags extends TypedFlags {
  snapshots?: boolean;
  wait?: boolean;
  timeout?: string;
  runtimeInformation: boolean;
  format: string;
}

function infoRequest({ wait, timeout: given, runtimeInformation }: Flags): InfoOptions {
  const timeout = parseTimeout(given);
  if (wait !== true && timeout !== undefined) {
    throw failure("USAGE", { reason: "--timeout needs --wait" });
  }
  if (wait === true && !runtimeInformation) {
    throw failure("USAGE", { reason: "give --wait or --no-runtime-information, not both" });
  }
  return { askGuests: runtimeInformation, ...(wait === true ? { wait: timeout ?? START_TIMEOUT } : {}) };
}

/** Instances and snapshots that were asked for, each once. */
async function collect(
  cli: Cli,
  names: readonly string[],
  onlySnapshots: boolean,
  request: InfoOptions,
): Promise<Infos> {
  const strata = await cli.strata();
  const options = { ...request, ...cli.call };
  if (names.length === 0) {
    if (!onlySnapshots) {
      return { instances: await strata.instances.info(undefined, options), snapshots: [], onlySnapshots };
    }
    const snapshots = (await strata.snapshots.list()).flatMap((tree) => tree.snapshots);
    return { instances: [], snapshots, onlySnapshots };
  }
  const refs = await checkEach(names, (text) => strata.resolve(text));
  const whole = [
    ...new Set(refs.flatMap(({ instance, snapshot }) => (snapshot === undefined ? [instance] : []))),
  ];
  const wanted = new Set(refs.map(({ instance, snapshot }) => `${instance}.${snapshot ?? ""}`));
  const needsTrees = onlySnapshots || refs.some(({ snapshot }) => snapshot !== undefined);
  const trees = needsTrees ? await treesOf(strata, refs) : [];
  const chosen = (each: SnapshotInfo) =>
    wanted.has(`${each.instance}.${each.name}`) || (onlySnapshots && whole.includes(each.instance));
  const instances = onlySnapshots || whole.length === 0 ? [] : await strata.instances.info(whole, options);
  const snapshots = trees.flatMap((tree) => tree.snapshots).filter(chosen);
  return { instances, snapshots, onlySnapshots };
}

/** The trees of all instances that are named, by their names; every snapshot that is named is in them. */
async function treesOf(strata: Strata, refs: readonly Ref[]): Promise<SnapshotTreeInfo[]> {
  const trees = new Map<string, SnapshotTreeInfo>();
  await checkEach(refs, async ({ instance, snapshot }) => {
    const tree = trees.get(instance) ?? (await strata.snapshots.tree(instance));
    trees.set(instance, tree);
    const names = tree.snapshots.map(({ name }) => name);
    if (snapshot !== undefined && !names.includes(snapshot)) {
      throw await snapshotNotFound(instance, snapshot, () => names);
    }
  });
  return [...trees.values()].sort((a, b) => (a.instance < b.instance ? -1 : 1));
}

import type { Command } from "commander";
import type { SnapshotInfo, Strata } from "../../core/api/strata.ts";
import { parseRef } from "../../core/snapshots/ref.ts";
import { failure } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { command, formatOption } from "../command.ts";
import { parseFormat } from "../format/format.ts";
import { formatInfo, type Infos } from "../format/info.ts";
import { write } from "../io.ts";

export function infoCommand(cli: Cli): Command {
  return command(
    "info",
    "show the details of instances and snapshots",
    "info web web.snapshot1",
    "info --snapshots --format json",
  )
    .argument("[names...]", "instances, or snapshots as INSTANCE.SNAPSHOT (default: all instances)")
    .option("--snapshots", "show the snapshots instead of the instances")
    .addOption(formatOption())
    .action(async (names: string[], options: { snapshots?: boolean; format: string }) => {
      const format = parseFormat(options.format);
      const infos = await collect(await cli.strata(), names, options.snapshots === true);
      await write(cli.io, formatInfo(infos, format));
    });
}

/** Instances and snapshots that were asked for, each once. */
async function collect(strata: Strata, names: readonly string[], onlySnapshots: boolean): Promise<Infos> {
  if (names.length === 0) {
    if (!onlySnapshots) {
      return { instances: await strata.instances.info(), snapshots: [], onlySnapshots };
    }
    const snapshots = (await strata.snapshots.list()).flatMap((tree) => tree.snapshots);
    return { instances: [], snapshots, onlySnapshots };
  }
  const refs = names.map(parseRef);
  const whole = [
    ...new Set(refs.flatMap(({ instance, snapshot }) => (snapshot === undefined ? [instance] : []))),
  ];
  const involved = [...new Set(refs.map(({ instance }) => instance))];
  const wanted = new Set(refs.map(({ instance, snapshot }) => `${instance}.${snapshot ?? ""}`));
  const needsTrees = onlySnapshots || refs.some(({ snapshot }) => snapshot !== undefined);
  const trees = needsTrees ? await strata.snapshots.list(involved) : [];
  const all = trees.flatMap(({ snapshots }) => snapshots);
  for (const { instance: name, snapshot } of refs) {
    if (snapshot === undefined) {
      continue;
    }
    if (!all.some((each) => each.instance === name && each.name === snapshot)) {
      throw failure("SNAPSHOT_NOT_FOUND", { name, snapshot });
    }
  }
  const chosen = (each: SnapshotInfo) =>
    wanted.has(`${each.instance}.${each.name}`) || (onlySnapshots && whole.includes(each.instance));
  const instances = onlySnapshots || whole.length === 0 ? [] : await strata.instances.info(whole);
  return { instances, snapshots: all.filter(chosen), onlySnapshots };
}

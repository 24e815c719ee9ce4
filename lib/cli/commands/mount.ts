import { type Command, Option } from "commander";
import type { MountOptions, MountPlace } from "../../core/api/strata.ts";
import { failure } from "../../errors.ts";
import { parseIdMap } from "../../mounts/id-map.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";

interface Options {
  uidMap?: string[];
  gidMap?: string[];
  type?: NonNullable<MountOptions["type"]>;
}

export function mountCommand(cli: Cli): Command {
  const collect = (value: string, before: string[] = []) => [...before, value];
  return command(
    "mount",
    "mount a folder of this host in instances",
    "mount ~/src web",
    "mount /srv/data web:/data db:/data --uid-map 1000:1000",
  )
    .argument("<source>", "folder on this host")
    .argument(
      "<name[:path]...>",
      "instances, each with the path in it (default: SOURCE's name in the user's home)",
    )
    .option(
      "-u, --uid-map <host:guest>",
      "map a user id of the host to one in the guest (repeatable)",
      collect,
    )
    .option(
      "-g, --gid-map <host:guest>",
      "map a group id of the host to one in the guest (repeatable)",
      collect,
    )
    .addOption(
      new Option(
        "-t, --type <type>",
        "type of mount: native (default), or classic, which makes a native one",
      ).choices(["native", "classic"]),
    )
    .action(async (source: string, targets: string[], { uidMap, gidMap, type }: Options) => {
      const options: MountOptions = {
        ...(type === undefined ? {} : { type }),
        ...(uidMap === undefined ? {} : { uidMap: uidMap.map((text) => parseIdMap("--uid-map", text)) }),
        ...(gidMap === undefined ? {} : { gidMap: gidMap.map((text) => parseIdMap("--gid-map", text)) }),
      };
      const places = targets.map(parsePlace);
      await (await cli.strata()).mounts.mount(source, places, { ...options, ...cli.call });
    });
}

export function umountCommand(cli: Cli): Command {
  return command(
    "umount",
    ["unmount folders from instances", "remove mounts from instances"],
    "umount web:/data",
    "umount web",
  )
    .alias("unmount")
    .argument("<name[:path]...>", "mounts to remove; without a path, all mounts of the instance")
    .action(async (mounts: string[]) => {
      const places = mounts.map(parsePlace);
      await (await cli.strata()).mounts.umount(places, cli.call);
    });
}

/** Reads `NAME` or `NAME:PATH`. */
function parsePlace(text: string): MountPlace {
  const at = text.indexOf(":");
  if (at === -1) {
    return { instance: text };
  }
  const target = text.slice(at + 1);
  if (target === "") {
    throw failure("USAGE", { reason: `"${text}" must have a path after the colon` });
  }
  return { instance: text.slice(0, at), target };
}

/** Reads `SOURCE` or `SOURCE:PATH`, of launch. */
export function parseLaunchMount(text: string): { source: string; target?: string } {
  const at = text.lastIndexOf(":");
  if (at === -1) {
    return { source: text };
  }
  const [source, target] = [text.slice(0, at), text.slice(at + 1)];
  if (source === "" || target === "") {
    throw failure("USAGE", { reason: `--mount must be SOURCE or SOURCE:PATH, not "${text}"` });
  }
  return { source, target };
}

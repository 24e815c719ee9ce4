import { type Command, Option } from "commander";
import type { LaunchOptions } from "../../core/api/instances.ts";
import { FIRMWARES, type Firmware } from "../../engine/contract.ts";
import { failure } from "../../errors.ts";
import { parseSize } from "../../size/parse.ts";
import { defined } from "../../util/defined.ts";
import { quote } from "../../util/quote.ts";
import type { Cli } from "../cli.ts";
import { collect, command } from "../command.ts";
import { write } from "../io.ts";
import { launchOrBuild } from "../launching.ts";
import { parseNicSpec } from "../network-spec.ts";
import { readUserData } from "../user-data.ts";
import { parseLaunchMount } from "./mount.ts";

interface Options {
  name?: string;
  cpus?: string;
  memory?: string;
  disk?: string;
  extraDisk?: string[];
  cdrom?: string;
  firmware?: Firmware;
  username?: string;
  cloudInit?: string;
  mount?: string[];
  network?: string[];
  bridged?: boolean;
  member?: string;
  timeout?: string;
  build?: boolean;
}

export function launchCommand(cli: Cli): Command {
  return command(
    "launch",
    "create and start an instance",
    "launch debian --name web --cpus 2 --memory 2G --disk 10G",
    "launch debian --name db --extra-disk 20G",
    "launch 24.04",
    "launch ./guest.qcow2",
    "launch --cdrom debian-13-netinst.iso --disk 20G --name server",
  )
    .argument(
      "[image]",
      "alias, release, REMOTE:ALIAS, start of a hash, path, or URL (default: the Debian image built here, else the newest Ubuntu LTS)",
    )
    .option("-n, --name <name>", "name of the instance (default: a generated name)")
    .option("-c, --cpus <number>", "number of CPUs (default: 1)")
    .option("-m, --memory <size>", "amount of memory, such as 512M (default: 1G)")
    .option("-d, --disk <size>", "size of the disk, such as 10G (default: 5G)")
    .option(
      "--extra-disk <size>",
      "add an empty disk of this size, which snapshots have too (repeatable)",
      collect,
    )
    .option(
      "--cdrom <iso>",
      "boot an installer from an ISO on this host, with an empty disk unless IMAGE is given",
    )
    .option(
      "--username <name>",
      "with --cdrom: user of the installed system, as whom commands run (default: none)",
    )
    .addOption(
      new Option("--firmware <kind>", "what it boots with; uefi-secure boots only what is signed").choices(
        FIRMWARES,
      ),
    )
    .option("--cloud-init <file>", "cloud-init user-data from a file or URL, or - for standard input")
    .option("--mount <source[:path]>", "folder on this host to mount (repeatable)", collect)
    .option(
      "--network <spec>",
      "add an interface: NETWORK, or name=NETWORK,mode=auto|manual,mac=ADDRESS (repeatable)",
      collect,
    )
    .option(
      "--bridged",
      "same as --network bridged: add an interface on the network of local.bridged-network",
    )
    .option("--member <member>", "cluster member to place the instance on")
    .option("--timeout <seconds>", "how long to wait for the guest (default: 300)")
    .option("--build", "build the image first if that is needed, without asking")
    .action(async (image: string | undefined, options: Options) => {
      const userData =
        options.cloudInit === undefined ? undefined : await readUserData(cli, options.cloudInit);
      const request = {
        image: image ?? (options.cdrom === undefined ? "default" : "blank"),
        ...parseOptions(options),
        ...(userData === undefined ? {} : { userData }),
      };
      const launched = await launchOrBuild(cli, await cli.strata(), request, options);
      cli.progress.clear();
      await write(cli.io, `Launched: ${launched.name}\n`);
      if (options.cdrom !== undefined) {
        cli.note(
          `It boots from the CD-ROM while its disk is empty. Its screen: virt-viewer --attach ${quote(launched.name)}`,
        );
      }
    });
}

/** What the options ask for, but for user-data, which has to be read. */
function parseOptions(options: Options): Omit<LaunchOptions, "image"> {
  const { name, cpus, memory, disk, extraDisk, cdrom, firmware, username, mount, member } = options;
  const { network = [], bridged } = options;
  return {
    ...defined({ name, cdrom, firmware, username, member, timeout: parseTimeout(options.timeout) }),
    ...(cpus === undefined ? {} : { cpus: parseCpus(cpus) }),
    ...(memory === undefined ? {} : { memory: parseSize("memory", memory) }),
    ...(disk === undefined ? {} : { disk: parseSize("disk", disk) }),
    ...(extraDisk === undefined ? {} : { extraDisks: extraDisk.map((size) => parseSize("disk", size)) }),
    ...(mount === undefined ? {} : { mounts: mount.map(parseLaunchMount) }),
    networks: [...network, ...(bridged === true ? ["bridged"] : [])].map(parseNicSpec),
  };
}

function parseCpus(value: string): number {
  if (!/^\d{1,6}$/.test(value)) {
    throw failure("INVALID_VALUE", { what: "cpus", value, reason: "must be a whole number, 1 or more" });
  }
  return Number(value);
}

/** How long a guest may take to answer, ms, where no time is given. */
export const START_TIMEOUT = 300_000;

/** Seconds as milliseconds. */
export function parseTimeout(value: string | undefined): number | undefined {
  if (value === undefined) {
    return undefined;
  }
  if (!/^\d{1,6}$/.test(value) || Number(value) === 0) {
    throw failure("INVALID_VALUE", {
      what: "--timeout",
      value,
      reason: "must be a whole number of seconds, 1 or more",
    });
  }
  return Number(value) * 1000;
}

import type { Command } from "commander";
import { failure } from "../../errors.ts";
import { parseSize } from "../../size/parse.ts";
import type { Cli } from "../cli.ts";
import { command, formatOption } from "../command.ts";
import { formatDisks } from "../format/disks.ts";
import { parseFormat } from "../format/format.ts";
import { canAsk, confirm, write } from "../io.ts";
import { diskEjectCommand } from "./disk-eject.ts";

const STOPPED = "stopped instance";
const FURTHER = "disk as `disk list` names it, but not the system disk";

export function diskCommand(cli: Cli): Command {
  return command(
    "disk",
    ["manage the disks of an instance", "list, add, grow, exclude and remove disks, and eject media"],
    "disk list db",
    "disk add db 20G",
  )
    .addCommand(listCommand(cli))
    .addCommand(addCommand(cli))
    .addCommand(growCommand(cli))
    .addCommand(removeCommand(cli))
    .addCommand(excludeCommand(cli))
    .addCommand(includeCommand(cli))
    .addCommand(diskEjectCommand(cli));
}

function listCommand(cli: Cli): Command {
  return command("list", "list the disks of an instance", "disk list db", "disk list db --format json")
    .argument("<instance>", "instance")
    .addOption(formatOption())
    .action(async (instance: string, options: { format: string }) => {
      const format = parseFormat(options.format);
      await write(cli.io, formatDisks(await (await cli.strata()).disks.list(instance), format));
    });
}

function addCommand(cli: Cli): Command {
  return command(
    "add",
    ["add an empty disk to an instance", "add an empty disk to a stopped instance, which snapshots have too"],
    "disk add db 20G",
  )
    .argument("<instance>", STOPPED)
    .argument("<size>", "size of the disk, such as 20G")
    .action(async (instance: string, size: string) => {
      const bytes = parseSize("disk", size);
      const { name } = await (await cli.strata()).disks.add(instance, bytes, cli.call);
      cli.progress.clear();
      await write(cli.io, `Disk added: ${instance} ${name}\n`);
    });
}

function growCommand(cli: Cli): Command {
  return command(
    "grow",
    ["make a disk larger", "make a disk of a stopped instance larger; file systems on it grow inside"],
    "disk grow db vdb 40G",
    "disk grow db system 10G",
  )
    .argument("<instance>", STOPPED)
    .argument("<disk>", "disk as `disk list` names it")
    .argument("<size>", "new size, such as 40G")
    .action(async (instance: string, disk: string, size: string) => {
      await (await cli.strata()).disks.grow(instance, disk, parseSize("disk", size), cli.call);
    });
}

function removeCommand(cli: Cli): Command {
  return command(
    "remove",
    [
      "remove a disk with its contents",
      "remove a disk from a stopped instance, permanently with its contents",
    ],
    "disk remove db vdb",
    "disk remove --yes db vdb",
  )
    .argument("<instance>", STOPPED)
    .argument("<disk>", FURTHER)
    .option("-y, --yes", "do not ask on a terminal")
    .action(async (instance: string, disk: string, { yes }: { yes?: boolean }) => {
      const { disks } = await cli.strata();
      if (yes !== true) {
        await disks.checkRemove(instance, disk);
        if (!canAsk(cli.io)) {
          throw failure("CONFIRMATION_REQUIRED", { what: "removing a disk", option: "--yes" });
        }
        const question = `Remove disk ${disk} from ${instance}? What strata stored for it cannot be recovered. (yes/No)`;
        if (!(await confirm(cli, question, false))) {
          return;
        }
      }
      await disks.remove(instance, disk, cli.call);
      cli.progress.clear();
      await write(cli.io, `Disk removed: ${instance} ${disk}\n`);
    });
}

function excludeCommand(cli: Cli): Command {
  return command(
    "exclude",
    [
      "leave a disk out of snapshots",
      "leave a disk out of snapshots from now on; restores leave it as it is",
    ],
    "disk exclude db vdb",
  )
    .argument("<instance>", "instance")
    .argument("<disk>", FURTHER)
    .action(async (instance: string, disk: string) => {
      await (await cli.strata()).disks.exclude(instance, disk, cli.call);
      cli.progress.clear();
      await write(cli.io, `Disk excluded: ${instance} ${disk}\n`);
      cli.note(
        "Snapshots that have its contents keep them, but a restore does not bring them back while it is excluded.",
      );
    });
}

function includeCommand(cli: Cli): Command {
  return command("include", "have snapshots cover an excluded disk again", "disk include db vdb")
    .argument("<instance>", "instance")
    .argument("<disk>", FURTHER)
    .action(async (instance: string, disk: string) => {
      await (await cli.strata()).disks.include(instance, disk, cli.call);
      cli.progress.clear();
      await write(cli.io, `Disk included: ${instance} ${disk}\n`);
    });
}

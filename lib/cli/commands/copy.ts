import type { Command } from "commander";
import { defined } from "../../util/defined.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { write } from "../io.ts";
import { parsePlace } from "../place.ts";

export function copyCommand(cli: Cli): Command {
  return command(
    "copy",
    [
      "copy an instance or a snapshot to another host",
      "copy a stopped instance with its snapshots, or one snapshot, to another host",
    ],
    "copy web box:",
    "copy web box:web2",
    "copy web.clean ssh://root@192.0.2.7:",
  )
    .argument("<name>", "instance, which must be stopped, or INSTANCE.SNAPSHOT")
    .argument("<host:[name]>", "context or address of the host, a colon, and the name that it gets there")
    .action(async (given: string, target: string) => {
      const to = parsePlace(target, "`strata clone` copies on this host");
      const strata = await cli.strata();
      const { instance, snapshot } = await strata.resolve(given);
      const name = to.name || instance;
      const { copyTo } = await import("../far-copy.ts");
      await copyTo(cli, { instance, ...defined({ snapshot }) }, { host: to.host, name });
      await write(cli.io, `Copied: ${given} to ${to.host}:${name}\n`);
    });
}

import type { Command } from "commander";
import { failure } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { write } from "../io.ts";

export function sshConfigCommand(cli: Cli): Command {
  return command(
    "ssh-config",
    "print or keep a configuration for ssh, scp and editors",
    "ssh-config web > web.conf",
    "ssh-config --include",
  )
    .argument("[names...]", "running instances (default: all that can be reached by ssh)")
    .option("--include", "keep it in ~/.ssh/config.d/strata, which ~/.ssh/config then includes")
    .option("--remove", "take away what --include has added")
    .action(async (names: string[], { include, remove }: { include?: boolean; remove?: boolean }) => {
      if (include === true && remove === true) {
        throw failure("USAGE", { reason: "give --include or --remove, not both" });
      }
      if (names.length > 0 && (include === true || remove === true)) {
        throw failure("USAGE", { reason: "--include and --remove are about all instances; give no names" });
      }
      const { ssh } = await cli.strata();
      if (remove === true) {
        return ssh.exclude();
      }
      if (include === true) {
        const { path } = await ssh.include(cli.call);
        await write(cli.io, `Included: ${path}\n`);
        return;
      }
      await write(cli.io, await ssh.config(names.length === 0 ? undefined : names, cli.call));
    });
}

import type { Command } from "commander";
import { failure } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { formatHost, formatInventory } from "../format/inventory.ts";
import { write } from "../io.ts";

export function inventoryCommand(cli: Cli): Command {
  return command(
    "inventory",
    "print running instances as an Ansible inventory",
    "inventory --list",
    "inventory --host web",
  )
    .option("--list", "print all running instances")
    .option("--host <name>", "print the variables of one instance")
    .action(async ({ list, host }: { list?: boolean; host?: string }) => {
      if ((list === true) === (host !== undefined)) {
        throw failure("USAGE", { reason: "give --list or --host NAME" });
      }
      const { ssh } = await cli.strata();
      if (host === undefined) {
        await write(cli.io, formatInventory(await ssh.logins(undefined, cli.call)));
        return;
      }
      for (const login of await ssh.logins(host, cli.call)) {
        await write(cli.io, formatHost(login));
      }
    });
}

import type { Command } from "commander";
import type { PortForward } from "../../core/api/strata.ts";
import { failure } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { type ForwardSpec, parseForward } from "../forward-spec.ts";
import { write } from "../io.ts";

export function portCommand(cli: Cli): Command {
  return command("port", "reach ports of instances from this host", "port forward web 8080:80").addCommand(
    forwardCommand(cli),
  );
}

function forwardCommand(cli: Cli): Command {
  return command(
    "forward",
    "offer ports of an instance on this host until Ctrl-C",
    "port forward web 8080:80",
    "port forward web 5432 0.0.0.0:8080:80",
  )
    .argument("<name>", "instance; it need not run yet")
    .argument(
      "<ports...>",
      "[[ADDRESS:]PORT:]PORT: a port of this host (default: the same), and of the instance",
    )
    .action(async (name: string, given: string[]) => {
      const specs = given.map(parseForward);
      const { ssh } = await cli.strata();
      const open: PortForward[] = [];
      try {
        for (const { port, ...spec } of specs) {
          const made = await ssh.forward(name, { ...spec, port, ...cli.call });
          open.push(made);
          await write(cli.io, `Forwarding ${place(made)} to ${name}:${spec.to}\n`);
        }
        await Promise.race(open.map(({ closed }) => closed));
      } finally {
        for (const each of open) {
          await each[Symbol.asyncDispose]();
        }
      }
      throw failure("CANCELLED", {}, cli.call.signal.reason);
    });
}

function place({ address, port }: Pick<ForwardSpec, "address" | "port">): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

import { Readable } from "node:stream";
import { Argument, Command } from "commander";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { write } from "../io.ts";
import { parsePlace } from "../place.ts";

export function moveCommand(cli: Cli): Command {
  return command(
    "move",
    [
      "move an instance to another host or cluster member",
      "move a stopped instance and its snapshots to another host or cluster member",
    ],
    "move web box:",
    "move web node2",
  )
    .argument("<name>", "instance to move")
    .argument("<member>", "cluster member; or context or address of a host, a colon, and the name there")
    .action(async (name: string, target: string) => {
      if (!target.includes(":")) {
        await (await cli.strata()).instances.move(name, target, cli.call);
        cli.progress.clear();
        await write(cli.io, `Moved: ${name} to ${target}\n`);
        return;
      }
      const to = parsePlace(target, "without a colon, it is a member of this cluster");
      const there = { host: to.host, name: to.name || name };
      const { moveTo } = await import("../far-copy.ts");
      await moveTo(cli, name, there);
      cli.progress.clear();
      await write(cli.io, `Moved: ${name} to ${there.host}:${there.name}\n`);
    });
}

export const TAKE_IN = "__take-in";

/** The command that `move` runs on the host that it moves to. */
export function takeInCommand(cli: Cli): Command {
  return new Command(TAKE_IN)
    .addArgument(new Argument("<act>").choices(["accept", "admit"]))
    .argument("<name>")
    .argument("<id>")
    .helpOption(false)
    .action(async (act: string, name: string, id: string) => {
      const { instances } = await cli.strata();
      if (act === "admit") {
        await write(cli.io, (await instances.admit(name, { id, ...cli.call })) ? "admitted\n" : "absent\n");
        return;
      }
      const from = Readable.from(cli.io.stdin as AsyncIterable<Buffer>);
      try {
        await instances.takeIn(from, { name, id, ...cli.call });
      } finally {
        from.destroy();
        // Input that is no longer read must not keep the process alive.
        if ("destroy" in cli.io.stdin) {
          cli.io.stdin.destroy();
        }
      }
    });
}

import { basename } from "node:path";
import type { Command } from "commander";
import { failure } from "../../errors.ts";
import { defaultFolders } from "../../settings/folders.ts";
import { commandNames } from "../alias.ts";
import type { Cli } from "../cli.ts";
import { command, formatOption } from "../command.ts";
import { formatAliases } from "../format/aliases.ts";
import { parseFormat } from "../format/format.ts";
import { write } from "../io.ts";

export function aliasCommand(cli: Cli): Command {
  return command(
    "alias",
    ["create an alias", "create a command on this host that runs a command in an instance"],
    "alias web:psql",
    "alias web:/usr/bin/top webtop",
  )
    .argument("<name:command>", "instance and the command to run in it")
    .argument("[alias]", "name of the alias (default: the name of the command)")
    .option(
      "-n, --no-map-working-directory",
      "run it in the user's home, even if the current folder is mounted in the instance",
    )
    .action(
      async (
        definition: string,
        given: string | undefined,
        options: { mapWorkingDirectory: boolean },
        self: Command,
      ) => {
        const at = definition.indexOf(":");
        if (at === -1) {
          throw failure("USAGE", { reason: `give NAME:COMMAND; "${definition}" does not name a command` });
        }
        const instance = definition.slice(0, at);
        const inside = definition.slice(at + 1);
        const name = given ?? basename(inside);
        if (self.parent !== null && commandNames(self.parent).has(name)) {
          throw failure("INVALID_VALUE", {
            what: "the name of an alias",
            value: name,
            reason: "must not be a command of strata",
          });
        }
        const workingDirectory = options.mapWorkingDirectory ? "map" : "default";
        await (await cli.strata()).aliases.add(name, { instance, command: inside, workingDirectory });
        await hintPath(cli);
      },
    );
}

/** An alias runs by its own name once the folder of the scripts is on the PATH. */
async function hintPath({ io, note }: Cli): Promise<void> {
  const folder = `${defaultFolders(io.env).data}/bin`;
  if (io.stderr.isTTY !== true || io.env.PATH?.split(":").includes(folder)) {
    return;
  }
  note(`To run aliases without "strata" before them, add this to your shell's start-up file:`);
  note(`PATH="$PATH:${folder}"`);
}

export function aliasesCommand(cli: Cli): Command {
  return command("aliases", "list aliases", "aliases --format json")
    .addOption(formatOption())
    .action(async (options: { format: string }) => {
      const format = parseFormat(options.format);
      await write(cli.io, formatAliases(await (await cli.strata()).aliases.list(), format));
    });
}

export function unaliasCommand(cli: Cli): Command {
  return command("unalias", "remove aliases", "unalias psql", "unalias work.psql")
    .argument("[aliases...]", "aliases of the active context, or CONTEXT.ALIAS")
    .option("--all", "remove all aliases of the active context")
    .action(async (given: string[], options: { all?: boolean }) => {
      const all = options.all === true;
      if (all === given.length > 0) {
        throw failure("USAGE", {
          reason: all
            ? "give the names of aliases or --all, not both"
            : "give the names of aliases, or --all",
        });
      }
      const strata = await cli.strata();
      const { active, contexts } = await strata.aliases.list();
      const names = all ? Object.keys(new Map(Object.entries(contexts)).get(active) ?? {}) : given;
      if (names.length > 0) {
        await strata.aliases.delete(names);
      }
    });
}

export function preferCommand(cli: Cli): Command {
  return command(
    "prefer",
    ["switch the current context of aliases", "switch to another context of aliases"],
    "prefer work",
  )
    .argument("<context>", "context to switch to; it is created if needed")
    .action(async (context: string) => (await cli.strata()).aliases.prefer(context));
}

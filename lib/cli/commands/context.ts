import type { Command } from "commander";
import { checkEach } from "../../errors/check-each.ts";
import { failure } from "../../errors.ts";
import { formatAddress, parseAddress } from "../../remote/address.ts";
import { changeContexts, contextsPath, findContext, readContexts } from "../../settings/contexts.ts";
import { nearDetail } from "../../util/nearest.ts";
import type { Cli } from "../cli.ts";
import { command, formatOption } from "../command.ts";
import { HERE } from "../far-command.ts";
import { formatContexts } from "../format/contexts.ts";
import { parseFormat } from "../format/format.ts";
import { write } from "../io.ts";

export function contextCommand(cli: Cli): Command {
  return command(
    "context",
    ["manage names of other hosts", "manage names of other hosts, for strata --host"],
    "context add box ssh://admin@box.example",
    "context list",
  )
    .addCommand(addCommand(cli))
    .addCommand(contextListCommand(cli))
    .addCommand(contextDeleteCommand(cli));
}

const NAME = /^[A-Za-z][A-Za-z0-9-]{0,62}$/;

function addCommand(cli: Cli): Command {
  return command(
    "add",
    "give another host a name",
    "context add box ssh://admin@box.example",
    "context add lab ssh://10.0.0.7:2222",
  )
    .argument("<name>", "name of the context")
    .argument("<address>", "ssh://HOST, ssh://USER@HOST or ssh://USER@HOST:PORT")
    .action(async (name: string, given: string) => {
      if (!NAME.test(name)) {
        throw failure("INVALID_NAME", { kind: "context", name });
      }
      if (name === HERE) {
        throw failure("INVALID_VALUE", {
          what: "the name of a context",
          value: name,
          reason: "means this host",
        });
      }
      const address = formatAddress(parseAddress(given));
      await changeContexts(contextsPath(cli.io.env), (before) => {
        const there = findContext(before, name);
        if (there !== undefined) {
          throw failure("CONTEXT_EXISTS", { name, address: there });
        }
        return { ...before, [name]: address };
      });
    });
}

function contextListCommand(cli: Cli): Command {
  return command("list", "list the names of other hosts", "context list --format json")
    .alias("ls")
    .addOption(formatOption())
    .action(async (options: { format: string }) => {
      const format = parseFormat(options.format);
      await write(cli.io, formatContexts(await readContexts(contextsPath(cli.io.env)), format));
    });
}

function contextDeleteCommand(cli: Cli): Command {
  return command("delete", "forget the names of other hosts", "context delete box")
    .argument("<names...>", "contexts to forget; nothing changes on those hosts")
    .action(async (names: string[]) => {
      const path = contextsPath(cli.io.env);
      const contexts = await readContexts(path);
      await checkEach(names, async (name) => {
        if (findContext(contexts, name) === undefined) {
          throw failure("CONTEXT_NOT_FOUND", {
            name,
            ...(await nearDetail(name, () => Object.keys(contexts))),
          });
        }
      });
      await changeContexts(path, (before) =>
        Object.fromEntries(Object.entries(before).filter(([name]) => !names.includes(name))),
      );
    });
}

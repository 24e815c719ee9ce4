import type { Command } from "commander";
import { checkEach } from "../../errors/check-each.ts";
import { failure } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { ask, canAsk, write } from "../io.ts";

export function getCommand(cli: Cli): Command {
  return command("get", "print a setting", "get local.web.cpus", "get --keys")
    .argument("[key]", "key of the setting, such as local.web.cpus")
    .option("--keys", "list the keys that currently exist")
    .option("--raw", "print the stored value unformatted (sizes in bytes)")
    .action(async (key: string | undefined, options: { keys?: boolean; raw?: boolean }) => {
      const strata = await cli.strata();
      if (options.keys === true) {
        await write(cli.io, (await strata.settings.keys()).map((each) => `${each}\n`).join(""));
        return;
      }
      if (key === undefined) {
        throw failure("USAGE", { reason: "give a key, or --keys to list them" });
      }
      const value = await strata.settings.get(key);
      await write(cli.io, `${options.raw === true ? value : await readable(key, value)}\n`);
    });
}

/** Sizes in units, an empty text as such. */
async function readable(key: string, value: string): Promise<string> {
  if (/^local\.[^.]+\.(memory|disk(\.[^.]+)?)$/.test(key)) {
    const { formatSize } = await import("../../size/format.ts");
    return formatSize(BigInt(value));
  }
  return value === "" ? "<empty>" : value;
}

export function setCommand(cli: Cli): Command {
  return command(
    "set",
    "change settings",
    "set local.web.cpus=4 local.web.memory=2G",
    'set local.web.snapshot1.comment="clean install"',
  )
    .argument("<key[=value]...>", "keys with their new values; a missing value is asked for")
    .action(async (given: string[]) => {
      const changes = given.map((text) => {
        const at = text.indexOf("=");
        return at === -1 ? { key: text } : { key: text.slice(0, at), value: text.slice(at + 1) };
      });
      const strata = await cli.strata();
      // A wrong key fails the request before anything is asked or changed.
      await checkEach(changes, ({ key }) => strata.settings.get(key));
      if (changes.some(({ value }) => value === undefined) && !canAsk(cli.io)) {
        throw failure("CONFIRMATION_REQUIRED", { what: "set", option: "KEY=VALUE" });
      }
      for (const { key, value } of changes) {
        await strata.settings.set(key, value ?? (await ask(cli, `${key}:`)));
      }
    });
}

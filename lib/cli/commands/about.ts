import type { Command } from "commander";
import { VERSION } from "../../version.ts";
import type { Cli } from "../cli.ts";
import { command, formatOption } from "../command.ts";
import { parseFormat } from "../format/format.ts";
import { formatVersion } from "../format/version.ts";
import { write } from "../io.ts";

export function versionCommand(cli: Cli): Command {
  return command("version", "show the versions of strata and its engine", "version --format json")
    .addOption(formatOption())
    .action(async (options: { format: string }) => {
      const format = parseFormat(options.format);
      await write(cli.io, formatVersion(VERSION, await engineVersion(cli), format));
    });
}

/** Such as "libvirt 9.0.0, QEMU 7.2.22"; undefined where the engine does not answer, which is `doctor`'s to explain. */
async function engineVersion(cli: Cli): Promise<string | undefined> {
  try {
    return await (await cli.strata()).engine.version();
  } catch {
    return undefined;
  }
}

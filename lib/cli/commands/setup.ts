import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { failure } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";

/** In the package and in a checkout. */
const SCRIPT = "scripts/setup-host.sh";

export function setupCommand(cli: Cli): Command {
  return command(
    "setup",
    [
      "prepare this host for libvirt",
      "install what strata needs on this host, and start libvirt and its network",
    ],
    "setup",
  ).action(async () => {
    const script = findScript();
    const { execa } = await import("execa");
    // It may ask for a password, and says on standard error what it installs.
    const result = await execa("bash", [script], {
      reject: false,
      stdio: ["inherit", "ignore", "inherit"],
      cancelSignal: cli.call.signal,
    });
    if (result.isCanceled) {
      throw failure("CANCELLED", {}, result);
    }
    if (result.failed) {
      throw failure("PROGRAM_FAILED", { program: script, reason: "see above" }, result);
    }
  });
}

/** The bundle lies elsewhere than this file. */
function findScript(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const path = join(folder, SCRIPT);
    if (existsSync(path)) {
      return path;
    }
    if (folder === dirname(folder)) {
      throw failure("FILE_NOT_FOUND", { path: SCRIPT });
    }
  }
}

import { Command } from "commander";
import type { Cli } from "./cli.ts";
import { withExamples } from "./command.ts";
import { versionCommand } from "./commands/about.ts";
import { authenticateCommand, waitReadyCommand } from "./commands/access.ts";
import { adoptCommand, releaseCommand } from "./commands/adoption.ts";
import { aliasCommand, aliasesCommand, preferCommand, unaliasCommand } from "./commands/alias.ts";
import { cloneCommand } from "./commands/clone.ts";
import { completionCommand, completionWordsCommand } from "./commands/completion.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { eventsCommand } from "./commands/events.ts";
import { findCommand } from "./commands/find.ts";
import { execCommand, shellCommand } from "./commands/guest.ts";
import { helpCommand } from "./commands/help.ts";
import { imageCommand } from "./commands/image.ts";
import { infoCommand } from "./commands/info.ts";
import { launchCommand } from "./commands/launch.ts";
import { restartCommand, startCommand, stopCommand, suspendCommand } from "./commands/lifecycle.ts";
import { listCommand } from "./commands/list.ts";
import { mountCommand, umountCommand } from "./commands/mount.ts";
import { moveCommand } from "./commands/move.ts";
import { networksCommand } from "./commands/networks.ts";
import { optimizeCommand } from "./commands/optimize.ts";
import { pluginsCommand } from "./commands/plugins.ts";
import { deleteCommand, purgeCommand, recoverCommand } from "./commands/removal.ts";
import { getCommand, setCommand } from "./commands/settings.ts";
import { restoreCommand, snapshotCommand } from "./commands/snapshot.ts";
import { transferCommand } from "./commands/transfer.ts";
import { printable } from "./format/cell.ts";
import { write } from "./io.ts";
import { VERSION } from "./version.ts";

/** The whole command tree. */
export function createProgram(cli: Cli): Command {
  const program = withExamples(new Command("strata"), ["launch debian --name web", "shell web"])
    .description("instances on libvirt, with snapshots at their heart")
    .version(`strata ${VERSION}`, "--version")
    .option("--driver <name>", "engine to use in the place of the setting local.driver", (name) => {
      cli.global.driver = name;
      return name;
    })
    .option("-v, --verbose", "tell more, up to -vvvv", () => {
      cli.global.verbosity += 1;
      return cli.global.verbosity;
    })
    .enablePositionalOptions()
    .helpCommand(false)
    .showSuggestionAfterError();
  const commands = [
    launchCommand,
    listCommand,
    infoCommand,
    startCommand,
    stopCommand,
    suspendCommand,
    cloneCommand,
    moveCommand,
    adoptCommand,
    releaseCommand,
    restartCommand,
    execCommand,
    shellCommand,
    transferCommand,
    mountCommand,
    umountCommand,
    snapshotCommand,
    restoreCommand,
    optimizeCommand,
    deleteCommand,
    recoverCommand,
    purgeCommand,
    aliasCommand,
    aliasesCommand,
    unaliasCommand,
    preferCommand,
    getCommand,
    setCommand,
    networksCommand,
    findCommand,
    eventsCommand,
    imageCommand,
    doctorCommand,
    pluginsCommand,
    waitReadyCommand,
    authenticateCommand,
    completionCommand,
    versionCommand,
    helpCommand,
  ];
  for (const make of commands) program.addCommand(make(cli));
  program.addCommand(completionWordsCommand(cli), { hidden: true });
  for (const each of allCommands(program)) settle(program, each, cli);
  return program;
}

/** The names that lead to a command, the program's first. */
function pathOf(each: Command): string[] {
  return [...(each.parent === null ? [] : pathOf(each.parent)), each.name()];
}

/** A command and everything below it. */
export function allCommands(root: Command): Command[] {
  return [root, ...root.commands.flatMap(allCommands)];
}

/** What commander would do to the process is left to `run`; output goes where the caller's goes. */
function settle(program: Command, each: Command, cli: Cli): void {
  const path = pathOf(each).slice(1);
  each
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void write(cli.io, text),
      // What was typed is repeated in it.
      writeErr: (text) => void cli.io.stderr.write(printable(text)),
      outputError: (text, show) => show(text.replace(/^error: /, "strata: ")),
    })
    .showHelpAfterError(
      path.length === 0
        ? "`strata help` lists the commands."
        : `\`strata help ${path.join(" ")}\` shows its usage.`,
    );
  if (each === program) return;
  each.option("-v, --verbose", "tell more, up to -vvvv", () => {
    cli.global.verbosity += 1;
    return cli.global.verbosity;
  });
}

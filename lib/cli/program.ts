import { Command, Option } from "commander";
import { VERSION } from "../version.ts";
import { firstWord } from "./alias.ts";
import type { Cli } from "./cli.ts";
import { errorPrefix } from "./colour.ts";
import { errorHintOf, withExamples } from "./command.ts";
import { versionCommand } from "./commands/about.ts";
import { authenticateCommand, waitReadyCommand } from "./commands/access.ts";
import { adoptCommand, releaseCommand } from "./commands/adoption.ts";
import { aliasCommand, aliasesCommand, preferCommand, unaliasCommand } from "./commands/alias.ts";
import { cloneCommand } from "./commands/clone.ts";
import { completionCommand, completionWordsCommand } from "./commands/completion.ts";
import { consoleCommand, logsCommand } from "./commands/console.ts";
import { contextCommand } from "./commands/context.ts";
import { copyCommand } from "./commands/copy.ts";
import { dfCommand } from "./commands/df.ts";
import { diskCommand } from "./commands/disk.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { eventsCommand } from "./commands/events.ts";
import { findCommand } from "./commands/find.ts";
import { execCommand, shellCommand } from "./commands/guest.ts";
import { helpCommand } from "./commands/help.ts";
import { imageCommand } from "./commands/image.ts";
import { infoCommand } from "./commands/info.ts";
import { inventoryCommand } from "./commands/inventory.ts";
import { launchCommand } from "./commands/launch.ts";
import { restartCommand, startCommand, stopCommand, suspendCommand } from "./commands/lifecycle.ts";
import { listCommand } from "./commands/list.ts";
import { mountCommand, umountCommand } from "./commands/mount.ts";
import { moveCommand, TAKE_IN, takeInCommand } from "./commands/move.ts";
import { networksCommand } from "./commands/networks.ts";
import { optimizeCommand } from "./commands/optimize.ts";
import { pluginsCommand } from "./commands/plugins.ts";
import { portCommand } from "./commands/port.ts";
import { exportCommand, importCommand } from "./commands/portable.ts";
import { deleteCommand, purgeCommand, recoverCommand } from "./commands/removal.ts";
import { renameCommand } from "./commands/rename.ts";
import { restoreCommand } from "./commands/restore.ts";
import { getCommand, setCommand } from "./commands/settings.ts";
import { setupCommand } from "./commands/setup.ts";
import { snapshotCommand } from "./commands/snapshot.ts";
import { sshConfigCommand } from "./commands/ssh-config.ts";
import { transferCommand } from "./commands/transfer.ts";
import { waitCommand } from "./commands/wait.ts";
import { printable } from "./format/cell.ts";
import { write } from "./io.ts";

/** The commands by name, in the order of the help and under its headings. */
const GROUPS: Readonly<Record<string, Readonly<Record<string, (cli: Cli) => Command>>>> = {
  Instances: {
    launch: launchCommand,
    list: listCommand,
    info: infoCommand,
    start: startCommand,
    stop: stopCommand,
    restart: restartCommand,
    suspend: suspendCommand,
    wait: waitCommand,
    clone: cloneCommand,
    export: exportCommand,
    import: importCommand,
    copy: copyCommand,
    rename: renameCommand,
    delete: deleteCommand,
    recover: recoverCommand,
    purge: purgeCommand,
    move: moveCommand,
    disk: diskCommand,
    adopt: adoptCommand,
    release: releaseCommand,
  },
  Snapshots: { snapshot: snapshotCommand, restore: restoreCommand, optimize: optimizeCommand },
  "Inside instances": {
    exec: execCommand,
    shell: shellCommand,
    console: consoleCommand,
    logs: logsCommand,
    transfer: transferCommand,
    mount: mountCommand,
    umount: umountCommand,
    "ssh-config": sshConfigCommand,
    port: portCommand,
    inventory: inventoryCommand,
    alias: aliasCommand,
    aliases: aliasesCommand,
    unalias: unaliasCommand,
    prefer: preferCommand,
  },
  "Images and networks": { find: findCommand, image: imageCommand, networks: networksCommand },
  "Settings and host": {
    get: getCommand,
    set: setCommand,
    context: contextCommand,
    df: dfCommand,
    doctor: doctorCommand,
    setup: setupCommand,
    events: eventsCommand,
    plugins: pluginsCommand,
    "wait-ready": waitReadyCommand,
    authenticate: authenticateCommand,
  },
  "About strata": { help: helpCommand, version: versionCommand, completion: completionCommand },
};

/** Commands that look at the others. */
const ABOUT_ALL = ["help", "completion", "alias"];

/**
 * The command tree: the whole of it or, with the words of a command line that names a command, that command alone,
 * because making all of them takes longer than some commands run.
 */
export function createProgram(cli: Cli, argv: readonly string[] = []): Command {
  const program = withExamples(new Command("strata"), ["launch debian --name web", "shell web"])
    .description("run instances on libvirt, each with a tree of snapshots")
    .version(`strata ${VERSION}`, "--version")
    .option("--driver <name>", "engine to use instead of the setting local.driver", (name) => {
      cli.global.driver = name;
      return name;
    })
    // Read by farCommandOf before this program is made, except for commands that are about this host.
    .option("--host <host>", "run the command on another host: a context, or ssh://USER@HOST")
    .option("-v, --verbose", "increase verbosity (repeatable, up to -vvvv)", () => {
      cli.global.verbosity += 1;
      return cli.global.verbosity;
    })
    .addOption(quietOption(cli))
    .addOption(noColorOption(cli))
    .enablePositionalOptions()
    .helpCommand(false)
    .showSuggestionAfterError();
  const isNeeded = commandsNeeded(program, argv);
  for (const [heading, commands] of Object.entries(GROUPS)) {
    for (const [name, make] of Object.entries(commands)) {
      if (isNeeded(name)) {
        program.addCommand(make(cli).helpGroup(`${heading}:`));
      }
    }
  }
  program.addCommand(completionWordsCommand(cli), { hidden: true });
  if (argv.includes(TAKE_IN)) {
    program.addCommand(takeInCommand(cli), { hidden: true });
  }
  for (const each of allCommands(program)) {
    settle(program, each, cli);
  }
  return program;
}

/** Tells which commands a command line needs: the one that it names or, if it names none, all of them. */
function commandsNeeded(program: Command, argv: readonly string[]): (name: string) => boolean {
  if (argv.length === 1 && argv[0] === "--version") {
    return () => false;
  }
  const named = argv[firstWord(program, argv)] ?? "";
  const isAlone =
    !ABOUT_ALL.includes(named) && Object.values(GROUPS).some((commands) => Object.hasOwn(commands, named));
  return (name) => !isAlone || name === named;
}

function quietOption(cli: Cli): Option {
  return new Option("--quiet", "write only errors to standard error").argParser(() => {
    cli.global.quiet = true;
    return true;
  });
}

/** https://no-color.org spells it so. */
function noColorOption(cli: Cli): Option {
  return new Option("--no-color", "write no colours, as with the variable NO_COLOR").argParser(() => {
    cli.global.colour = false;
    return false;
  });
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The names that lead to a command, the program's first. */
function pathOf(each: Command): string[] {
  return [...(each.parent === null ? [] : pathOf(each.parent)), each.name()];
}

/** A command and everything below it. */
export function allCommands(root: Command): Command[] {
  return [root, ...root.commands.flatMap(allCommands)];
}

/** `run` does what commander would do to the process; output goes to the caller's streams. */
function settle(program: Command, each: Command, cli: Cli): void {
  const path = pathOf(each).slice(1);
  each
    .exitOverride()
    .configureHelp({
      // Arguments and short forms are for the command's own help: a list of names is read faster.
      subcommandTerm: (below) => below.name(),
      subcommandDescription: (below) => capital(below.summary() || below.description()),
      commandDescription: (shown) => capital(shown.description()),
    })
    .configureOutput({
      writeOut: (text) => void write(cli.io, text),
      // The message repeats what was typed.
      writeErr: (text) => void cli.io.stderr.write(printable(text)),
      outputError: (text) => {
        const message = printable(text.replace(/^error: /, ""));
        cli.io.stderr.write(`${errorPrefix(cli)} ${message}`);
      },
    })
    .showHelpAfterError(
      path.length === 0
        ? "`strata help` lists the commands."
        : (errorHintOf(each) ?? `\`strata help ${path.join(" ")}\` shows its usage.`),
    );
  if (each === program) {
    return;
  }
  each.addOption(noColorOption(cli).hideHelp());
  each.option("-v, --verbose", "increase verbosity (repeatable, up to -vvvv)", () => {
    cli.global.verbosity += 1;
    return cli.global.verbosity;
  });
  // `list --quiet` prints only names.
  if (!each.options.some(({ long }) => long === "--quiet")) {
    each.addOption(quietOption(cli));
  }
}

import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, isAbsolute, join } from "node:path";
import { text } from "node:stream/consumers";
import { Argument, Command } from "commander";
import type { InstanceState, Strata } from "../../core/api/strata.ts";
import { failure } from "../../errors.ts";
import { contextsPath, readContexts } from "../../settings/contexts.ts";
import { atOwn, makeFolder, readOwn } from "../../util/own-files.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { complete, type Names } from "../completion.ts";
import { farCommandOf, HERE } from "../far-command.ts";
import { write } from "../io.ts";

/** Called by the scripts below with the words of a command line, of which the last is to be completed. */
export const ASK = "__complete";
/** A line that says that file names are possible too. */
const FILES = ":files";

const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `# strata's completion for bash
_strata() {
  local line word at last words=()
  COMPREPLY=()
  # bash divides words at colons and equal signs.
  for ((at = 1; at <= COMP_CWORD; at++)); do
    word=\${COMP_WORDS[at]} last=$((\${#words[@]} - 1))
    if ((last >= 0)) && [[ $word == [:=]* || (\${words[last]} == *[:=] && (-n $word || \${COMP_LINE:COMP_POINT-1:1} != ' ')) ]]; then
      words[last]+=$word
    else
      words+=("$word")
    fi
  done
  word=\${words[*]: -1}
  local cut=\${word%"\${COMP_WORDS[COMP_CWORD]}"}
  [[ \${COMP_WORDS[COMP_CWORD]} == [:=] ]] && cut=$word
  while IFS= read -r line; do
    word=\${line%%$'\\t'*}
    if [[ $word == ${FILES} ]]; then
      compopt -o filenames
      while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}")
    else
      [[ $word == *[:/=] ]] && compopt -o nospace
      COMPREPLY+=("\${word#"$cut"}")
    fi
  done < <(strata ${ASK} -- "\${words[@]}" 2>/dev/null)
}
complete -F _strata strata
`,
  zsh: `#compdef strata
# strata's completion for zsh
_strata() {
  local line
  local -a words_here paths_here
  for line in "\${(@f)$(strata ${ASK} -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    case $line in
      '') ;;
      ${FILES}) _files ;;
      *:) paths_here+=("$line") ;;
      *$'\\t'*) words_here+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}") ;;
      *) words_here+=("\${line//:/\\\\:}") ;;
    esac
  done
  (( $#paths_here )) && compadd -S '' -- $paths_here
  (( $#words_here )) && _describe strata words_here
}
if [[ $funcstack[1] == _strata ]]; then _strata "$@"; else compdef _strata strata; fi
`,
  fish: `# strata's completion for fish
function __strata_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in (strata ${ASK} -- $words[2..-1] 2>/dev/null)
        if test "$line" = ${FILES}
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end
complete -c strata -f -a '(__strata_complete)'
`,
};

export function completionCommand(cli: Cli): Command {
  return command(
    "completion",
    "print or install a completion script for a shell",
    "completion --install",
    "completion zsh > ~/.zfunc/_strata",
  )
    .addArgument(
      new Argument("[shell]", "shell to complete in (default: yours, by $SHELL)").choices(
        Object.keys(SCRIPTS),
      ),
    )
    .option("--install", "write it to where the shell looks for it")
    .action(async (given: string | undefined, { install }: { install?: boolean }) => {
      const shell = given ?? basename(cli.io.env.SHELL ?? "");
      const script = SCRIPTS[shell];
      if (script === undefined) {
        throw failure("USAGE", { reason: `give a shell: ${Object.keys(SCRIPTS).join(", ")}` });
      }
      await (install === true ? installScript(cli, shell, script) : write(cli.io, script));
    });
}

/** Where each shell looks for scripts of the user's. */
function placeOf(shell: string, env: NodeJS.ProcessEnv): string {
  const home = env.HOME || homedir();
  const base = (value: string | undefined, fallback: string) =>
    value !== undefined && isAbsolute(value) ? value : join(home, fallback);
  switch (shell) {
    case "bash":
      return join(base(env.XDG_DATA_HOME, ".local/share"), "bash-completion/completions/strata");
    case "fish":
      return join(base(env.XDG_CONFIG_HOME, ".config"), "fish/completions/strata.fish");
    default:
      return join(home, ".zfunc/_strata");
  }
}

async function installScript(cli: Cli, shell: string, script: string): Promise<void> {
  const path = placeOf(shell, cli.io.env);
  const before = await readOwn(path, () => readFile(path, "utf8"));
  if (before !== undefined && !before.includes(`# strata's completion for ${shell}\n`)) {
    throw failure("FILE_NOT_OURS", { path });
  }
  const { default: writeFileAtomic } = await import("write-file-atomic");
  await atOwn(path, async () => {
    await makeFolder(dirname(path), 0o755);
    await writeFileAtomic(path, script, { mode: 0o644 });
  });
  await write(cli.io, `Installed: ${path}\n`);
  if (shell === "zsh") {
    cli.note("zsh finds it if ~/.zshrc has, before compinit: fpath+=~/.zfunc");
  }
}

/**
 * The command that the scripts call. If an engine does not answer, its names are left out without an error.
 */
export function completionWordsCommand(cli: Cli): Command {
  return new Command(ASK)
    .argument("[words...]", "words of the command line")
    .helpOption(false)
    .action(async (words: string[], _: unknown, self: Command) => {
      const far = farCommandOf(words, cli.io.env);
      if (far !== undefined) {
        const { completeThere } = await import("../far-completion.ts");
        await write(cli.io, await completeThere(cli, far));
        return;
      }
      const program = self.parent ?? self;
      const { candidates, files } = await complete(program, words, namesOf(cli));
      const lines = candidates.map(({ word, meaning }) => (meaning === "" ? word : `${word}\t${meaning}`));
      await write(cli.io, [...lines, ...(files ? [FILES] : [])].map((line) => `${line}\n`).join(""));
    });
}

/** How long a guest may take to list a folder while somebody waits for a word, ms. */
const PATHS_TIMEOUT_MS = 3000;

/** Argument: the beginning of a path. A folder is written with a slash. */
const PATHS = `cd || exit
for each in "$1"*; do
  if [ -d "$each" ]; then printf '%s/\\n' "$each"; elif [ -e "$each" ]; then printf '%s\\n' "$each"; fi
done`;

/** Paths in an instance that runs; completing a word must not start one. */
async function pathsIn(
  strata: Strata,
  instance: string,
  beginning: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const found = (await strata.instances.list()).find(({ name }) => name === instance);
  if (found?.state !== "Running") {
    return [];
  }
  const limited = AbortSignal.any([signal, AbortSignal.timeout(PATHS_TIMEOUT_MS)]);
  const session = await strata.guest.exec(instance, ["sh", "-c", PATHS, "sh", beginning], {
    signal: limited,
  });
  session.stdin.end();
  session.stderr.resume();
  const printed = await text(session.stdout);
  await session.exit;
  return printed.split("\n").filter((line) => line !== "");
}

function namesOf(cli: Cli): Names {
  const asked = (read: (strata: Strata) => Promise<readonly string[]>) => async () => {
    try {
      return await read(await cli.strata());
    } catch {
      return [];
    }
  };
  const instances = (fits: (state: InstanceState) => boolean) =>
    asked(async (strata) =>
      (await strata.instances.list()).filter(({ state }) => fits(state)).map(({ name }) => name),
    );
  return {
    instances: instances((state) => state !== "Deleted"),
    deleted: instances((state) => state === "Deleted"),
    idle: instances((state) => ["Stopped", "Suspended", "Delayed Shutdown", "Unknown"].includes(state)),
    stopped: instances((state) => state === "Stopped"),
    running: instances((state) => !["Deleted", "Stopped", "Suspended"].includes(state)),
    paths: (instance, beginning) =>
      asked(async (strata) => pathsIn(strata, instance, beginning, cli.call.signal))(),
    disks: (instance) =>
      asked(async (strata) => (await strata.disks.list(instance)).slice(1).map(({ name }) => name))(),
    snapshots: asked(async (strata) =>
      (await strata.snapshots.list()).flatMap(({ snapshots }) =>
        snapshots.map(({ instance, name }) => `${instance}.${name}`),
      ),
    ),
    groups: asked(async (strata) => {
      const trees = await strata.snapshots.list();
      const grouped = trees.flatMap(({ snapshots }) => snapshots.filter(({ group }) => group !== null));
      return [...new Set(grouped.map(({ name }) => name))];
    }),
    mounts: asked(async (strata) =>
      (await strata.instances.info(undefined, { askGuests: false })).flatMap(({ name, mounts }) =>
        mounts.map(({ target }) => `${name}:${target}`),
      ),
    ),
    keys: asked((strata) => strata.settings.keys()),
    images: asked(async (strata) => [
      ...new Set((await strata.images.list()).flatMap(({ aliases }) => aliases)),
    ]),
    aliases: asked(async (strata) => {
      const { active, contexts } = await strata.aliases.list();
      return Object.entries(contexts).flatMap(([context, inner]) =>
        Object.keys(inner).flatMap((name) => [...(context === active ? [name] : []), `${context}.${name}`]),
      );
    }),
    hosts: async () => {
      const contexts = await readContexts(contextsPath(cli.io.env)).catch(() => ({}));
      return [HERE, ...Object.keys(contexts)];
    },
    engines: asked(async (strata) =>
      (await strata.plugins.list()).filter(({ state }) => state !== "refused").map(({ name }) => name),
    ),
    contexts: asked(async (strata) => ["default", ...Object.keys((await strata.aliases.list()).contexts)]),
  };
}

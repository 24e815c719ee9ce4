import { Argument, Command } from "commander";
import type { Strata } from "../../core/api/strata.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { complete, type Names } from "../completion.ts";
import { write } from "../io.ts";

/** Called by the scripts below with the words of a command line, of which the last is to be completed. */
export const ASK = "__complete";
/** A line that says that file names are possible too. */
const FILES = ":files";

const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `# strata's completion for bash
_strata() {
  local line word
  COMPREPLY=()
  while IFS= read -r line; do
    word=\${line%%$'\\t'*}
    if [[ $word == ${FILES} ]]; then
      compopt -o filenames
      while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}")
    else
      [[ $word == *: ]] && compopt -o nospace
      COMPREPLY+=("$word")
    fi
  done < <(strata ${ASK} -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
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
    "print a completion script for a shell",
    "completion bash > ~/.local/share/bash-completion/completions/strata",
    "completion zsh > ~/.zfunc/_strata",
    "completion fish > ~/.config/fish/completions/strata.fish",
  )
    .addArgument(new Argument("<shell>", "shell to complete in").choices(Object.keys(SCRIPTS)))
    .action(async (shell: string) => {
      await write(cli.io, SCRIPTS[shell] ?? "");
    });
}

/**
 * The command that the scripts call. If an engine does not answer, its names are left out without an error.
 */
export function completionWordsCommand(cli: Cli): Command {
  return new Command(ASK)
    .argument("[words...]", "words of the command line")
    .helpOption(false)
    .action(async (words: string[], _: unknown, self: Command) => {
      const program = self.parent ?? self;
      const { candidates, files } = await complete(program, words, namesOf(cli));
      const lines = candidates.map(({ word, meaning }) => (meaning === "" ? word : `${word}\t${meaning}`));
      await write(cli.io, [...lines, ...(files ? [FILES] : [])].map((line) => `${line}\n`).join(""));
    });
}

function namesOf(cli: Cli): Names {
  const asked = (read: (strata: Strata) => Promise<readonly string[]>) => async () => {
    try {
      return await read(await cli.strata());
    } catch {
      return [];
    }
  };
  const instances = (deleted: boolean) =>
    asked(async (strata) =>
      (await strata.instances.list())
        .filter(({ state }) => (state === "Deleted") === deleted)
        .map(({ name }) => name),
    );
  return {
    instances: instances(false),
    deleted: instances(true),
    snapshots: asked(async (strata) =>
      (await strata.snapshots.list()).flatMap(({ snapshots }) =>
        snapshots.map(({ instance, name }) => `${instance}.${name}`),
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
    engines: asked(async (strata) =>
      (await strata.plugins.list()).filter(({ state }) => state !== "refused").map(({ name }) => name),
    ),
    contexts: asked(async (strata) => ["default", ...Object.keys((await strata.aliases.list()).contexts)]),
  };
}

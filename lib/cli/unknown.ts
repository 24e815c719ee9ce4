import type { Command } from "commander";
import { isCalled } from "./command.ts";

/** What other tools call the commands of strata. A word that is a command here is looked up in the tree first. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  attach: "shell",
  copy: "clone",
  cp: "transfer",
  create: "launch",
  destroy: "delete",
  enter: "shell",
  images: "image list",
  import: "adopt",
  init: "launch",
  inspect: "info",
  kill: "stop --force",
  login: "shell",
  logs: "events",
  mv: "rename",
  pause: "suspend",
  ps: "list",
  pull: "launch",
  push: "transfer",
  reboot: "restart",
  remove: "delete",
  resume: "start",
  revert: "restore",
  rm: "delete",
  rmi: "image delete",
  rollback: "restore",
  run: "launch",
  scp: "transfer",
  show: "info",
  ssh: "shell",
  stats: "info",
  status: "list",
  top: "info",
  undelete: "recover",
  unpause: "start",
  up: "start",
};

/**
 * Throws commander's error for a word that is no command, with the help of that level. Left to itself, commander shows
 * the general help for `strata nosuch --help` and calls it a success.
 */
export function refuseUnknown(program: Command, argv: readonly string[]): void {
  let about = program;
  for (let at = 0; at < argv.length && about.commands.length > 0; at++) {
    const word = argv[at] ?? "";
    if (word === "--") {
      return;
    }
    if (word.startsWith("-")) {
      const option = about.options.find(({ long, short }) => word === long || word === short);
      at += option?.required === true ? 1 : 0;
      continue;
    }
    const below = about.commands.find((each) => isCalled(each, word));
    if (below === undefined) {
      refuse(about, word, about === program);
    }
    about = below ?? about;
  }
}

/** Says what a word is called here, where another tool has it; else commander says which command is near. */
export function refuse(about: Command, word: string, outermost: boolean): void {
  const here = outermost && Object.hasOwn(ELSEWHERE, word) ? ELSEWHERE[word] : undefined;
  if (here !== undefined) {
    about.error(`error: unknown command '${word}'\n(Did you mean ${here}?)`, {
      code: "commander.unknownCommand",
    });
  }
  about.parse([word], { from: "user" });
}

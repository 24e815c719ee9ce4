import type { Command } from "commander";
import { isCalled } from "./command.ts";

/** Other tools' names for strata's commands. Words that are commands here are looked up in the tree first. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  attach: "shell",
  cp: "transfer",
  create: "launch",
  destroy: "delete",
  enter: "shell",
  images: "image list",
  init: "launch",
  inspect: "info",
  kill: "stop --force",
  login: "shell",
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
 * Throws commander's error for an unknown command, with the help of that level. By default, commander shows
 * the general help for `strata nosuch --help` and exits successfully.
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

/** Names strata's command for another tool's word; otherwise commander suggests a similar command. */
export function refuse(about: Command, word: string, outermost: boolean): void {
  const here = outermost && Object.hasOwn(ELSEWHERE, word) ? ELSEWHERE[word] : undefined;
  if (here !== undefined) {
    about.error(`error: unknown command '${word}'\n(Did you mean ${here}?)`, {
      code: "commander.unknownCommand",
    });
  }
  about.parse([word], { from: "user" });
}

import type { Command } from "commander";
import { command, isCalled } from "../command.ts";
import { refuse } from "../unknown.ts";

export function helpCommand(): Command {
  return command("help", "show the help of a command", "help launch", "help image build")
    .argument("[command...]", "command, such as image build")
    .action((words: string[], _: unknown, self: Command) => {
      let about = self.parent ?? self;
      for (const word of words) {
        const below = about.commands.find((each) => isCalled(each, word));
        // The command itself reports unknown words, with similar ones.
        if (below === undefined && about.commands.length > 0) {
          refuse(about, word, about === self.parent);
        }
        about = below ?? about;
      }
      about.help();
    });
}

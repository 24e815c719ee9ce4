import { readFileSync } from "node:fs";
import { expect } from "chai";
import { createCli } from "../../../../lib/cli/cli.ts";
import { processIo } from "../../../../lib/cli/io.ts";
import { allCommands, createProgram } from "../../../../lib/cli/program.ts";
import { ERROR_NOTES } from "../../../../lib/cli/reference/error-notes.ts";
import { hintsOf } from "../../../../lib/cli/reference/errors.ts";
import { referenceFiles } from "../../../../lib/cli/reference/index.ts";
import { pagesOf } from "../../../../lib/cli/reference/pages.ts";
import type { ErrorCode } from "../../../../lib/errors.ts";
import { VERSION } from "../../../../lib/version.ts";
import { cliRoom } from "../../../support/cli.ts";

const cli = () => createCli(processIo, new AbortController().signal).cli;
const program = () => createProgram(cli());

describe("the reference of commands", () => {
  it("is current", () => {
    for (const [name, text] of Object.entries(referenceFiles())) {
      expect(
        readFileSync(new URL(`../../../../docs/${name}`, import.meta.url), "utf8") === text,
        `docs/${name} is out of date: run \`npm run docs\` and commit it`,
      ).to.equal(true);
    }
  });

  it("has each command under its own name when a command line names it, and all for its aliases", () => {
    const whole = program();
    const names = (argv: string[]) => createProgram(cli(), argv).commands.map((each) => each.name());
    const shown = whole.commands.map((each) => each.name()).filter((name) => name !== "__complete");
    const knowsOthers = ["alias", "completion", "help"];
    for (const name of shown) {
      const expected = knowsOthers.includes(name) ? [...shown, "__complete"] : [name, "__complete"];
      expect(names(["-v", name, "web"]), name).to.have.members(expected);
    }
    for (const alias of whole.commands.flatMap((each) => each.aliases())) {
      expect(names([alias]), alias).to.have.members([...shown, "__complete"]);
    }
    expect(names([])).to.have.members([...shown, "__complete"]);
  });

  it("has an example of every command, which that command takes", () => {
    const pages = pagesOf(program()).slice(1);
    for (const { name, examples } of pages) {
      expect(examples, name).not.to.have.length(0);
      for (const example of examples) {
        expect(example, name).to.match(new RegExp(`^${name}( |$)`));
        const [ours = ""] = example.split(/ -- |[|>]/);
        const meant = pages.findLast((page) => ours === page.name || ours.startsWith(`${page.name} `));
        const options = meant?.options ?? [];
        for (const [, option] of ours.matchAll(/ (--?[a-z][a-z-]*)/g)) {
          expect(
            options.some(({ flags }) => flags.split(/[ ,]+/).includes(option ?? "")),
            `${example}: ${option}`,
          ).to.equal(true);
        }
      }
    }
  });

  it("is shown by --help of every command, which exits with 0 and asks no engine", async () => {
    const open = () => {
      throw new Error("the engine was asked");
    };
    await using at = await cliRoom(open);
    for (const { name, summary, examples } of pagesOf(program())) {
      const { code, stdout } = await at.strata(...name.split(" ").filter(Boolean), "--help");
      expect(code, name).to.equal(0);
      expect(stdout).to.contain("Usage: strata ").and.to.contain(summary.slice(1));
      for (const example of examples) {
        expect(stdout).to.contain(`$ strata ${example}\n`);
      }
    }
  });

  it("gives the version of package.json", () => {
    const { version } = JSON.parse(
      readFileSync(new URL("../../../../package.json", import.meta.url), "utf8"),
    );
    expect(VERSION).to.equal(version);
  });

  it("explains every option and argument", () => {
    for (const each of allCommands(program())) {
      for (const { flags, description } of each.options) {
        expect(description, `${each.name()} ${flags}`).not.to.equal("");
      }
      for (const argument of each.registeredArguments) {
        expect(argument.description, `${each.name()} ${argument.name()}`).not.to.equal("");
      }
    }
  });

  it("has every command under a heading of the help", () => {
    for (const each of program().commands.filter((command) => command.name() !== "__complete")) {
      expect(each.helpGroup(), each.name()).not.to.equal("");
    }
  });

  it("says of every error what to do, by a hint or in words", () => {
    for (const [code, { remedy }] of Object.entries(ERROR_NOTES)) {
      expect(remedy ?? hintsOf(code as ErrorCode)[0], code).to.be.a("string");
    }
  });

  it("suggests the nearest command and option", async () => {
    await using at = await cliRoom();
    const misspelt = await at.strata("lanch");
    expect(misspelt.code).to.equal(2);
    expect(misspelt.stderr).to.contain("Did you mean launch?");
    const option = await at.strata("launch", "--memry", "1G");
    expect(option.code).to.equal(2);
    expect(option.stderr).to.contain("Did you mean --memory?");
  });
});

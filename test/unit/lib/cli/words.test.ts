import { expect } from "chai";
import { Command } from "commander";
import fc from "fast-check";
import { partsOf, withValues } from "../../../../lib/cli/words.ts";

/** A program, and what commander makes of a command line of it. */
function parsed(words: readonly string[]) {
  const program = new Command("strata")
    .enablePositionalOptions()
    .exitOverride()
    .option("--driver <name>")
    .option("-v");
  const seen: { args: string[]; options: Record<string, unknown> } = { args: [], options: {} };
  const launch = new Command("launch")
    .exitOverride()
    .argument("[args...]")
    .option("-n, --name <name>")
    .option("-c, --cpus <number>")
    .option("--build")
    .option("-q")
    .action(
      (args: string[], options: Record<string, unknown>) => void Object.assign(seen, { args, options }),
    );
  program.addCommand(launch);
  program.parse([...words], { from: "user" });
  return { ...seen, program };
}

describe("the parts of a command line", () => {
  it("are those that commander reads, with a value in the same word or the next", () => {
    const piece = fc.oneof(
      ...["a", "./b c", "-q", "--build", "-", "="].map((word) => fc.constant([word])),
      ...[
        ["-n", "-x"],
        ["--name", "v=w"],
        ["--name=--build"],
        ["-nvalue"],
        ["-n=x"],
        ["-qn", "web"],
        ["-qnweb"],
        ["-qc2"],
        ["--cpus", ""],
      ].map((words) => fc.constant(words)),
    );
    fc.assert(
      fc.property(fc.array(piece), fc.boolean(), (pieces, rest) => {
        const words = ["-v", "--driver", "launch", "launch", ...pieces.flat(), ...(rest ? ["--"] : [])];
        const { args, options, program } = parsed(words);
        const { command, parts } = partsOf(program, words);
        expect(command.name()).to.equal("launch");
        expect(parts.filter(({ option }) => option === undefined).map(({ value }) => value)).to.deep.equal(
          args,
        );
        for (const name of ["name", "cpus"]) {
          const found = parts.findLast(({ option }) => option?.long === `--${name}`);
          expect(found?.value, name).to.equal(options[name]);
        }
      }),
    );
  });

  it("can be given other values", () => {
    const words = ["launch", "./x.img", "-qn", "web", "--cpus=2"];
    const { parts } = partsOf(parsed(words).program, words);
    const values = new Map(parts.map((part, at) => [part, `value ${at}`]));
    expect(withValues(words, values)).to.deep.equal([
      "launch",
      "value 0",
      "-qn",
      "value 1",
      "--cpus=value 2",
    ]);
  });

  it("end before what is another program's", () => {
    const words = ["launch", "a", "--", "b", "--name", "c"];
    expect(partsOf(parsed(words).program, words).parts.map(({ value }) => value)).to.deep.equal(["a"]);
  });
});

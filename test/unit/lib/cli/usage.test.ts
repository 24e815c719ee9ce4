import { expect } from "chai";
import { type CliRoom, cliRoom } from "../../../support/cli.ts";

describe("wrong usage", () => {
  let at: CliRoom;
  const refused = async (...args: string[]) => {
    const { code, stdout, stderr } = await at.strata(...args);
    expect([code, stdout], args.join(" ")).to.deep.equal([2, ""]);
    return stderr;
  };
  before(async () => {
    at = await cliRoom(async () => {
      throw new Error("the engine was asked");
    });
  });
  after(() => at[Symbol.asyncDispose]());

  it("is told as every error is, and where help is", async () => {
    expect(await refused("frobnicate")).to.equal(
      "strata: unknown command 'frobnicate'\n`strata help` lists the commands.\n",
    );
    expect(await refused("image", "list", "--frobnicate")).to.equal(
      "strata: unknown option '--frobnicate'\n`strata help image list` shows its usage.\n",
    );
  });

  it("is also an unknown command that is asked for its help", async () => {
    for (const words of [
      ["bogus", "--help"],
      ["--help", "bogus"],
      ["-v", "bogus", "-h"],
      ["--driver", "memory", "bogus", "-h"],
    ]) {
      expect(await refused(...words)).to.contain("strata: unknown command 'bogus'");
    }
    expect(await refused("image", "biuld", "--help")).to.contain("(Did you mean build?)");
    expect(await at.done("image", "build", "--help")).to.contain("Usage: strata image build");
    expect(await at.done("--driver", "bogus", "--help")).to.contain("Usage: strata [options]");
  });

  it("says what words of other tools are called here", async () => {
    for (const [word, here] of [
      ["mv", "rename"],
      ["rm", "delete"],
      ["ps", "list"],
      ["ssh", "shell"],
      ["stats", "info"],
      ["pull", "launch"],
      ["cp", "transfer"],
    ] as const) {
      const told = `strata: unknown command '${word}'\n(Did you mean ${here}?)\n`;
      expect(await refused(word, "web"), word).to.contain(told);
      expect(await refused("help", word), word).to.contain(told);
    }
    expect(await refused("toString")).to.not.contain("Did you mean");
  });

  it("names what is missing as the usage line does", async () => {
    for (const [command, missing] of [
      ["snapshot", "<instances...>"],
      ["umount", "<name[:path]...>"],
      ["set", "<key[=value]...>"],
      ["alias", "<name:command>"],
    ] as const) {
      const name = missing.replace(/^<|(\.\.\.)?>$/g, "");
      expect(await refused(command)).to.contain(`missing required argument '${name}'`);
      expect(await at.done("help", command)).to.contain(missing);
    }
    expect(await refused("restore")).to.contain("give INSTANCE.SNAPSHOT, or --group");
    expect(await refused("transfer")).to.contain("give one or more sources and a destination");
  });

  it("says what is wanted where several things would be right", async () => {
    expect(await refused("unalias")).to.match(/give the names of aliases, or --all\n/);
    expect(await refused("unalias", "a", "--all")).to.contain("not both");
    expect(await refused("optimize")).to.contain("give the names of stopped instances, or --all");
    expect(await refused("doctor", "--yes")).to.contain("--yes requires --repair");
    expect(await refused("list", "web")).to.contain("list takes names with --snapshots");
  });
});

describe("help", () => {
  let at: CliRoom;
  before(async () => {
    at = await cliRoom();
  });
  after(() => at[Symbol.asyncDispose]());

  it("lists each command with what it does in a few words", async () => {
    const lines = (await at.done("help")).split("\n");
    expect(lines).to.include.members(["Instances:", "Snapshots:", "Inside instances:"]);
    const listed = lines.flatMap((line) => /^ {2}([a-z-]+) {2,}(\S.*)$/.exec(line)?.slice(1, 3) ?? []);
    expect(listed).to.include.members(["launch", "Create and start an instance", "alias", "Create an alias"]);
    const texts = lines.filter((line) => /^ {2}[a-z][a-z-]* {2,}/.test(line));
    expect(texts).to.have.length.above(30);
    for (const line of texts) {
      expect(line)
        .to.match(/^ {2}[a-z-]+ +[A-Z]/)
        .and.have.length.below(81);
    }
  });

  it("is of the command that is named, at any depth, as --help is", async () => {
    for (const words of [[], ["launch"], ["ls"], ["image"], ["image", "build"]]) {
      expect(await at.done("help", ...words)).to.equal(await at.done(...words, "--help"));
    }
    expect(await at.done("help", "image", "build")).to.contain("Usage: strata image build");
  });

  it("says that a command is unknown, and which is near", async () => {
    for (const [words, near] of [
      [["lanch"], "launch"],
      [["image", "biuld"], "build"],
    ] as const) {
      const { code, stdout, stderr } = await at.strata("help", ...words);
      expect([code, stdout]).to.deep.equal([2, ""]);
      expect(stderr).to.contain(`strata: unknown command '${words.at(-1)}'`);
      expect(stderr).to.contain(`(Did you mean ${near}?)`);
    }
  });
});

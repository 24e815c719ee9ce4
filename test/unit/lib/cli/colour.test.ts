import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { expect } from "chai";
import { paletteOf } from "../../../../lib/cli/colour.ts";
import { columns } from "../../../../lib/cli/format/cell.ts";
import { type CliRoom, cliRoom } from "../../../support/cli.ts";

const GREEN = "\u001b[32m";
const RED = "\u001b[31m";
const ESCAPE = "\u001b";

describe("colours", () => {
  let room: CliRoom;

  beforeEach(async () => {
    room = await cliRoom();
    await room.done("launch", "debian", "--name", "web");
  });

  afterEach(() => room[Symbol.asyncDispose]());

  /** What a command writes to a terminal that has colours. */
  const shown = async (...args: string[]): Promise<string> => {
    const terminal = () => Object.assign(new PassThrough(), { isTTY: true });
    const streams = { stdout: terminal(), stderr: terminal() };
    const read = Promise.all([text(streams.stdout), text(streams.stderr)]);
    await room.onto(streams, ...args);
    streams.stdout.end();
    streams.stderr.end();
    return (await read).join("");
  };

  it("show states on a terminal", async () => {
    for (const args of [["list"], ["list", "--columns", "name,state,cpus"], ["info", "web"]]) {
      expect(await shown(...args), args.join(" ")).to.contain(`${GREEN}Running`);
    }
  });

  it("show errors on a terminal, of the command line too", async () => {
    expect(await shown("info", "nosuch")).to.contain(`${RED}strata:`);
    expect(await shown("info", "--nosuch")).to.contain(`${RED}strata:`);
  });

  it("are absent without a terminal", async () => {
    expect(await room.done("list")).not.to.contain(ESCAPE);
    expect((await room.strata("info", "nosuch")).stderr).to.match(/^strata: /);
  });

  it("are absent with --no-color, before and after the command", async () => {
    expect(await shown("--no-color", "list")).not.to.contain(ESCAPE);
    expect(await shown("list", "--no-color")).not.to.contain(ESCAPE);
    expect(await shown("info", "nosuch", "--no-color")).not.to.contain(ESCAPE);
  });

  it("are absent with NO_COLOR and on a dumb terminal", () => {
    const red = (env: NodeJS.ProcessEnv) => {
      const stdout = Object.assign(new PassThrough(), { isTTY: true });
      return paletteOf({ io: { stdout, stderr: stdout, env }, global: { colour: true } }, "stdout").red("x");
    };
    expect(red({})).to.equal(`${RED}x\u001b[39m`);
    expect(red({ NO_COLOR: "1" })).to.equal("x");
    expect(red({ NO_COLOR: "" })).to.contain(RED);
    expect(red({ TERM: "dumb" })).to.equal("x");
  });

  it("are absent in what programs read", async () => {
    for (const format of ["json", "csv", "yaml"]) {
      expect(await shown("list", "--format", format), format).not.to.contain(ESCAPE);
      expect(await shown("info", "web", "--format", format), format).not.to.contain(ESCAPE);
    }
  });

  it("leave columns aligned", () => {
    const rows = columns([
      ["a", "b", "c"],
      [`${GREEN}long word\u001b[39m`, "b", "c"],
    ]);
    expect(rows).to.equal(`a           b   c\n${GREEN}long word\u001b[39m   b   c\n`);
  });
});

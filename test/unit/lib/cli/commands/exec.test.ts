import { PassThrough } from "node:stream";
import { expect } from "chai";
import { run } from "../../../../../lib/cli/run.ts";
import { type CliRoom, cliRoom } from "../../../../support/cli.ts";

describe("exec", () => {
  let at: CliRoom;
  before(async () => {
    at = await cliRoom();
    await at.done("launch", "any", "--name", "web");
  });
  after(() => at[Symbol.asyncDispose]());

  it("runs as the user that is named, else as the image's", async () => {
    expect(await at.done("exec", "web", "--", "whoami")).to.equal("ubuntu\n");
    expect(await at.done("exec", "web", "--user", "root", "--", "whoami")).to.equal("root\n");
  });

  it("sets variables, to the value here where none is given", async () => {
    const printed = (...args: string[]) => at.done("exec", "web", ...args);
    expect(await printed("--env", "A=1=2", "-e", "B= x ", "--", "printenv", "A")).to.equal("1=2\n");
    expect(await printed("--env", "A=1", "-e", "B= x ", "--", "printenv", "B")).to.equal(" x \n");
    expect(await printed("--env", "HOME", "--", "printenv", "HOME")).to.equal(`${at.folder}\n`);
  });

  it("refuses variables that are not set here, and names that no variable has", async () => {
    for (const [given, said] of [
      ["NOT_SET_HERE", "must be NAME=VALUE, or the name of a variable that is set here"],
      ["a-b=1", "must have letters, digits and underscores"],
      ["=1", "must have letters, digits and underscores"],
    ] as const) {
      const { code, stderr } = await at.strata("exec", "web", "--env", given, "--", "true");
      expect([code, stderr], stderr).to.satisfy(() => code === 2 && stderr.includes(said));
    }
  });

  it("leaves standard input to whoever reads it next with --no-stdin", async () => {
    const stdin = new PassThrough();
    stdin.end("one\ntwo\n");
    const io = { stdin, stdout: new PassThrough(), stderr: new PassThrough() };
    const env = { HOME: at.folder, PATH: process.env.PATH, STRATA_DRIVER: "memory" };
    const code = await run(["exec", "web", "--no-stdin", "--", "cat"], { io: { ...io, env } });
    expect([code, io.stdout.read(), String(stdin.read())]).to.deep.equal([0, null, "one\ntwo\n"]);
  });

  it("says where -- belongs when an option of the command is taken for its own", async () => {
    const { code, stderr } = await at.strata("exec", "web", "ls", "-la");
    expect(code).to.equal(2);
    expect(stderr).to.equal(
      "strata: unknown option '-la'\n" +
        "Options of exec go before --, the command and its own options after it: strata exec NAME -- COMMAND\n",
    );
  });
});

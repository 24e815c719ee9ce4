import { expect } from "chai";
import { type CliRoom, cliRoom } from "../../../../support/cli.ts";

describe("strata logs", () => {
  let at: CliRoom;
  before(async () => {
    at = await cliRoom();
    await at.done("launch", "any", "-n", "web");
    await at.done("stop", "web");
    await at.done("start", "web");
  });
  after(() => at[Symbol.asyncDispose]());

  it("shows what an instance has written on its console, over all boots, running or not", async () => {
    expect(await at.done("logs", "web")).to.equal("web has booted\nweb has booted\n");
    await at.done("stop", "web");
    expect(await at.done("logs", "web")).to.equal("web has booted\nweb has booted\n");
  });

  it("shows the last lines", async () => {
    expect(await at.done("logs", "-n", "1", "web")).to.equal("web has booted\n");
    expect((await at.strata("logs", "-n", "-1", "web")).code).to.equal(2);
  });

  it("shows those of a deleted instance, and refuses an unknown one", async () => {
    await at.done("launch", "any", "-n", "old");
    await at.done("delete", "old");
    expect(await at.done("logs", "old")).to.equal("old has booted\n");
    expect((await at.strata("logs", "nobody")).code).to.equal(3);
  });

  it("does not give them to a clone", async () => {
    await at.done("stop", "web");
    await at.done("clone", "web", "-n", "copy");
    expect(await at.done("logs", "copy")).to.equal("");
  });
});

describe("strata console", () => {
  let at: CliRoom;
  beforeEach(async () => {
    at = await cliRoom();
    await at.done("launch", "any", "-n", "web");
  });
  afterEach(() => at[Symbol.asyncDispose]());

  it("carries what is typed to the console until Ctrl-]", async () => {
    const { code, stdout, stderr } = await at.onTerminal("root\n\u001dnot this", "console", "web");
    expect(code, stderr).to.equal(0);
    expect(stdout).to.equal("web login: root\n");
    expect(stderr).to.contain("Ctrl-]");
  });

  it("needs a terminal, and an instance that runs", async () => {
    const { code, stderr } = await at.strata("console", "web");
    expect(code).to.equal(2);
    expect(stderr).to.contain("strata logs");
    await at.done("stop", "web");
    expect((await at.onTerminal("", "console", "web")).code).to.equal(5);
  });
});

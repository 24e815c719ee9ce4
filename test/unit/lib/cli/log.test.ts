import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { traced } from "../../../../lib/util/trace.ts";
import { type CliRoom, cliRoom } from "../../../support/cli.ts";

interface Line {
  readonly level: string;
  readonly message: string;
  readonly pid: number;
  readonly argv?: readonly string[];
  readonly instances?: readonly string[];
  readonly [key: string]: unknown;
}

describe("strata.log", () => {
  let at: CliRoom;
  beforeEach(async () => {
    at = await cliRoom();
  });
  afterEach(() => at[Symbol.asyncDispose]());

  const text = () => readFile(join(at.folder, ".local/state/strata/strata.log"), "utf8");
  const lines = async (): Promise<Line[]> =>
    (await text())
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  const commands = async () => (await lines()).filter(({ message }) => message === "command");

  it("has a line for each command, with who ran it, on what, for how long and to what end", async () => {
    await at.done("launch", "any", "--name", "web");
    await at.strata("snapshot", "nobody");
    const [launch, snapshot, ...others] = await commands();
    expect(others).to.deep.equal([]);
    expect(launch).to.deep.include({
      level: "info",
      pid: process.pid,
      argv: ["launch", "any", "--name", "web"],
      instances: ["web"],
      exit: 0,
    });
    expect(launch?.user).to.be.a("string").and.not.to.equal("");
    expect(launch?.ms).to.be.a("number");
    expect(snapshot).to.deep.include({ argv: ["snapshot", "nobody"], exit: 3, code: "INSTANCE_NOT_FOUND" });
  });

  it("tells what each command did, and its phases", async () => {
    await at.done("launch", "any", "--name", "web");
    await at.done("stop", "web");
    await at.done("snapshot", "--name", "before", "web");
    await at.done("launch", "any", "--name", "db");
    await at.done("snapshot", "--name", "both", "web", "db");
    const told = (await lines()).map(({ message }) => message.replace(/ \([\d.]+ ms\)$/, ""));
    expect(told).to.include.members(["create web", "start web", "stop web", "take snapshot web.before"]);
    expect(told).to.include("take snapshots db.both, web.both");
    expect(told).to.include("Taking snapshot");
  });

  it("has no secret of a command line", async () => {
    await at.done("launch", "any", "--name", "web");
    await at.strata("exec", "web", "--", "mysql", "--password=hunter2");
    await at.strata("exec", "web", "mysql", "--password=hunter2");
    await at.strata("set", "local.passphrase=hunter2");
    await at.strata("authenticate", "hunter2");
    await at.strata("launch", "https://me:hunter2@images.example/a.qcow2?sig=hunter2");
    await at.done("alias", "web:mysql", "sql");
    await at.strata("sql", "--password=hunter2");
    expect(await text()).not.to.contain("hunter2");
    const told = (await commands()).map(({ argv }) => argv?.join(" "));
    expect(told).to.include("exec web -- …").and.to.include("set local.passphrase=…");
  });

  it("keeps the values of settings that are no secret", async () => {
    await at.done("set", "client.primary-name=desk");
    expect((await commands())[0]?.argv).to.deep.equal(["set", "client.primary-name=desk"]);
  });

  it("is not written by completion", async () => {
    await at.done("launch", "any", "--name", "web");
    await at.done("__complete", "--", "start", "w");
    expect(await commands()).to.have.length(1);
  });
});

describe("-v", () => {
  let at: CliRoom;
  before(async () => {
    at = await cliRoom();
    await at.done("launch", "any", "--name", "web");
    await at.done("stop", "web");
  });
  after(() => at[Symbol.asyncDispose]());

  it("says what strata does and how long that took; without it nothing is said", async () => {
    expect((await at.strata("snapshot", "web")).stderr).to.equal("");
    const { stderr } = await at.strata("-v", "snapshot", "web");
    expect(stderr).to.match(/^strata: info: take snapshot web\.snapshot2 \([\d.]+ ms\)$/m);
    expect(stderr).not.to.contain("strata: trace:");
  });

  it("four times tells more", async () => {
    const { stderr } = await at.strata("-vvvv", "snapshot", "web");
    expect(stderr).to.match(/^strata: trace: instances\.lock web/m);
  });
});

describe("programs that strata starts", () => {
  it("are reported by what they were told, their exit and their time", async () => {
    const room = await cliRoom(async () => {
      const argv = ["-c", "exit 7", "https://me:hunter2@host/"];
      const child = traced("sh", argv, spawn("sh", argv, { stdio: "ignore" }));
      await once(child, "exit");
      throw new Error("opened nothing");
    });
    await using at = room;
    const { stderr } = await at.strata("-vv", "list");
    expect(stderr).to.match(/^strata: debug: sh -c "exit 7" "?https:\/\/…@host\/"? \(exit 7, [\d.]+ ms\)$/m);
    expect((await at.strata("-v", "list")).stderr).not.to.contain("exit 7");
  });
});

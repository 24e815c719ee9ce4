import { expect } from "chai";
import { type CliRoom, cliRoom } from "../../../../support/cli.ts";

describe("commands on groups of snapshots", () => {
  let at: CliRoom;
  const names = async () => (await at.done("list", "--snapshots", "--names")).trimEnd().split("\n");
  beforeEach(async () => {
    at = await cliRoom();
    await at.done("launch", "any", "-n", "web");
    await at.done("launch", "any", "-n", "db");
  });
  afterEach(() => at[Symbol.asyncDispose]());

  it("take, list, restore and delete them by their name", async () => {
    expect(await at.done("snapshot", "web", "db", "--name", "before")).to.equal(
      "Snapshot taken: db.before\nSnapshot taken: web.before\n",
    );
    expect(await at.done("list", "--snapshots")).to.match(
      /^Instance +Snapshot +Parent +Consistency +Group +Comment\ndb +before +-- +crash +[0-9a-f]{8} +--\n/,
    );
    const [{ group }] = JSON.parse(await at.done("list", "--snapshots", "-o", "json=group"));
    expect(await at.done("info", "web.before")).to.contain(`Group:          ${group.slice(0, 8)}\n`);
    expect(await at.done("restore", "-d", "--group", "before")).to.equal(
      "Snapshot restored: db.before\nSnapshot restored: web.before\n",
    );
    expect(await at.done("list")).to.match(/db +Running.*\n.*web +Running/);
    await at.done("delete", "--purge", "--group", "before");
    expect((await at.strata("list", "--snapshots")).stdout).to.equal("No snapshots found.\n");
  });

  it("ask once before they restore or delete", async () => {
    await at.done("snapshot", "web", "db", "--name", "before");
    const restored = await at.onTerminal("\r", "restore", "--group", "before");
    expect(restored.stdout).to.contain(
      "Do you want to take snapshots of db, web before discarding their current states? (Yes/no)",
    );
    expect(restored.stdout).to.contain("Snapshot taken: db.snapshot2\nSnapshot restored: db.before\n");
    const kept = await at.onTerminal("\r", "delete", "--group", "before");
    expect(kept.stdout).to.contain("Delete db.before, web.before?");
    expect(await names()).to.include("db.before");
    const refused = await at.strata("delete", "--group", "before");
    expect([refused.code, refused.stderr]).to.satisfy(([code, said]: [number, string]) => {
      return code === 2 && said.includes("--purge");
    });
    await at.onTerminal("yes\r", "delete", "--group", "before");
    expect(await names()).to.deep.equal(["db.snapshot2", "web.snapshot2"]);
  });

  it("say of which instance a disk is that a restore changes", async () => {
    await at.done("snapshot", "web", "db", "--name", "before");
    await at.done("stop", "db");
    await at.done("disk", "add", "db", "1G");
    const { stdout } = await at.onTerminal("no\r", "restore", "--group", "before");
    expect(stdout).to.contain('"db": disk vdb (1.0GiB) is removed: before does not have it.\n');
    expect(stdout).to.contain('"web" is running: its power is cut, and it is started again.\n');
  });

  it("ask nothing where all instances are deleted", async () => {
    await at.done("snapshot", "web", "db", "--name", "before");
    await at.done("delete", "web", "db");
    const { code, stdout, stderr } = await at.onTerminal("yes\r", "restore", "--group", "before");
    expect([code, stdout]).to.deep.equal([5, ""]);
    expect(stderr).to.contain('instance "web" is deleted');
    expect((await at.strata("delete", "--purge", "--group", "before")).code).to.equal(5);
  });

  it("refuse what only one instance can have, and names beside a group", async () => {
    await at.done("snapshot", "web", "db", "--name", "before");
    const refusals: [message: string, ...args: string[]][] = [
      ["--memory is for one instance", "snapshot", "web", "db", "--memory"],
      ["--exclude is for one instance", "snapshot", "web", "db", "--exclude", "vdb"],
      ["give INSTANCE.SNAPSHOT, or --group", "restore", "-d"],
      ["give INSTANCE.SNAPSHOT, or --group", "restore", "-d", "web.before", "--group", "before"],
      ["give --group alone", "delete", "-p", "web", "--group", "before"],
      ["give --group alone", "delete", "-p", "--all", "--group", "before"],
    ];
    for (const [message, ...args] of refusals) {
      const { code, stderr } = await at.strata(...args);
      expect(code, args.join(" ")).to.equal(2);
      expect(stderr).to.contain(message);
    }
    expect(await names()).to.deep.equal(["db.before", "web.before"]);
    const { code, stderr } = await at.strata("restore", "-d", "--group", "none");
    expect([code, stderr.includes("no snapshots were taken together")]).to.deep.equal([3, true]);
  });

  it("are completed", async () => {
    await at.done("snapshot", "web", "db", "--name", "before");
    await at.done("snapshot", "web", "--name", "alone");
    expect(await at.done("__complete", "--", "restore", "--group", "")).to.equal("before\n");
    expect(await at.done("__complete", "--", "delete", "--group", "b")).to.equal("before\n");
    expect(await at.done("__complete", "--", "snapshot", "web", "d")).to.equal("db\n");
  });
}).timeout(20_000);

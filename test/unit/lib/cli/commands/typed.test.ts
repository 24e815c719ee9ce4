import { expect } from "chai";
import { type CliRoom, cliRoom } from "../../../../support/cli.ts";

const GIB = 1024 ** 3;

describe("typed JSON", () => {
  let at: CliRoom;
  before(async () => {
    at = await cliRoom();
    await at.done("launch", "any", "-n", "web", "-c", "2", "-m", "2G");
    await at.done("launch", "any", "-n", "db");
    await at.done("stop", "db");
    await at.done("snapshot", "-n", "clean", "-c", "as launched", "db");
  });
  after(() => at[Symbol.asyncDispose]());

  const refused = async (...args: string[]) => {
    const { code, stdout } = await at.strata(...args);
    expect([code, stdout], args.join(" ")).to.deep.equal([2, ""]);
  };

  it("of info has numbers as numbers and times as ISO 8601, of stopped instances too", async () => {
    const [db] = JSON.parse(await at.done("info", "--json", "db"));
    expect(db).to.deep.include({
      name: "db",
      engine: "memory",
      state: "Stopped",
      cpus: 1,
      memory: GIB,
      disk: 5 * GIB,
      snapshots: 1,
      mounts: [],
      guest: null,
    });
    expect(db.hostDisk).to.be.a("number");
    expect(db.id).to.match(/^[0-9a-f-]{36}$/);
    expect(new Date(db.created).toISOString()).to.equal(db.created);
    const [snapshot] = JSON.parse(await at.done("info", "--json", "db.clean"));
    expect(snapshot).to.deep.include({ instance: "db", name: "clean", comment: "as launched", cpus: 1 });
  });

  it("says which instances start with the host", async () => {
    await at.done("set", "local.db.autostart=true");
    const list = JSON.parse(await at.done("list", "-o", "json=name,autostart"));
    expect(list.find((each: { name: string }) => each.name === "db").autostart).to.equal(true);
    await at.done("set", "local.db.autostart=false");
    const [db] = JSON.parse(await at.done("info", "-o", "json=autostart", "db"));
    expect(db).to.deep.equal({ autostart: false });
  });

  it("of list has the same fields, and those alone that are named", async () => {
    const list = JSON.parse(await at.done("list", "-o", "json=name,cpus,hostDisk"));
    expect(list.map(({ name, cpus }: { name: string; cpus: number }) => [name, cpus])).to.deep.equal([
      ["db", 1],
      ["web", 2],
    ]);
    expect(list.map(Object.keys)).to.deep.equal([
      ["name", "cpus", "hostDisk"],
      ["name", "cpus", "hostDisk"],
    ]);
    const snapshots = JSON.parse(await at.done("list", "--snapshots", "-o", "json=instance,name,parent"));
    expect(snapshots).to.deep.equal([{ instance: "db", name: "clean", parent: null }]);
  });

  it("goes through jq, which prints strings bare", async () => {
    expect(await at.done("list", "--jq", ".[] | select(.cpus > 1) | .name")).to.equal("web\n");
    expect(await at.done("info", "--jq", "map(.memory) | add")).to.equal(`${3 * GIB}\n`);
    expect(await at.done("list", "--jq", "empty")).to.equal("");
    const before = process.exitCode;
    const { code, stderr } = await at.strata("list", "--jq", ".[");
    expect(code).to.equal(2);
    expect(process.exitCode, "left to the program that uses the command line").to.equal(before);
    expect(stderr).to.contain("syntax error").and.not.to.contain("\n.[");
  });

  it("refuses unknown fields, other forms, and a second format, before anything is looked up", async () => {
    await refused("list", "-o", "json=name,colour");
    await refused("list", "-o", "yaml");
    await refused("list", "-o", "json=");
    await refused("list", "--json", "--format", "csv");
    await refused("info", "--jq", ".", "--format", "yaml", "web");
  });

  it("leaves the reference CLI's shape to --format json", async () => {
    expect(Object.keys(JSON.parse(await at.done("list", "--format", "json")))).to.deep.equal(["list"]);
    expect(JSON.parse(await at.done("info", "--format", "json", "db")).info.db.cpu_count).to.equal("");
  });
});

describe("strata list", () => {
  let at: CliRoom;
  before(async () => {
    at = await cliRoom();
    await at.done("launch", "any", "-n", "web", "-m", "2G");
    await at.done("launch", "any", "-n", "worker", "-m", "4G");
    await at.done("launch", "any", "-n", "db");
    await at.done("stop", "db");
    await at.done("snapshot", "-n", "clean", "db");
  });
  after(() => at[Symbol.asyncDispose]());

  it("-q prints names alone, also of snapshots, and nothing where there are none", async () => {
    expect(await at.done("list", "-q")).to.equal("db\nweb\nworker\n");
    expect(await at.done("list", "-q", "--snapshots")).to.equal("db.clean\n");
    expect(await at.done("list", "-q", "--filter", "name=nobody")).to.equal("");
  });

  it("filters by any field, whatever the case, with * for anything", async () => {
    expect(await at.done("list", "-q", "--filter", "state=running")).to.equal("web\nworker\n");
    expect(await at.done("list", "-q", "--filter", "name=w*", "--filter", "memory=4*")).to.equal("worker\n");
    expect(await at.done("list", "-q", "--filter", "name=w.b")).to.equal("");
    const { list } = JSON.parse(await at.done("list", "--format", "json", "--filter", "name=db"));
    expect(list.map(({ name }: { name: string }) => name)).to.deep.equal(["db"]);
  });

  it("sorts by numbers as numbers, both ways", async () => {
    expect(await at.done("list", "-q", "--sort", "memory")).to.equal("db\nweb\nworker\n");
    expect(await at.done("list", "-q", "--sort", "-memory")).to.equal("worker\nweb\ndb\n");
  });

  it("shows the columns that are named, with or without headings, as a table and as csv", async () => {
    expect(await at.done("list", "--columns", "name,memory,ipv4", "--filter", "name=w*")).to.equal(
      "Name     Memory   IPv4\nweb      2.0GiB   10.0.0.1\nworker   4.0GiB   10.0.0.1\n",
    );
    expect(
      await at.done("list", "--columns", "name,memory", "--no-headers", "--filter", "name=web"),
    ).to.equal("web   2.0GiB\n");
    expect(
      await at.done("list", "--columns", "name,memory", "--format", "csv", "--filter", "name=web"),
    ).to.equal(`Name,Memory\nweb,${2 * GIB}\n`);
    expect(await at.done("list", "--no-headers", "--filter", "name=db")).to.match(
      /^db +Stopped +-- +\S+.*\n$/,
    );
  });

  it("refuses what it does not know, or what does not go together", async () => {
    for (const args of [
      ["--columns", "name,colour"],
      ["--sort", "colour"],
      ["--filter", "colour=red"],
      ["--filter", "name"],
      ["--columns", "name", "--json"],
      ["--no-headers", "--format", "yaml"],
      ["-q", "--format", "csv"],
      ["--snapshots", "--sort", "name"],
    ]) {
      expect((await at.strata("list", ...args)).code, args.join(" ")).to.equal(2);
    }
  });
});

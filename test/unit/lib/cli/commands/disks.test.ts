import { expect } from "chai";
import { type CliRoom, cliRoom } from "../../../../support/cli.ts";

describe("commands on disks", () => {
  let at: CliRoom;
  const list = async (): Promise<unknown> =>
    JSON.parse(await at.done("disk", "list", "db", "--format", "json")).list;
  const refused = async (code: number, message: string, ...args: string[]) => {
    const before = await at.done("info", "db", "--format", "json");
    const ended = await at.strata(...args);
    expect(ended.code, `${args.join(" ")}: ${ended.stderr}`).to.equal(code);
    expect(ended.stderr).to.contain(message);
    expect(await at.done("info", "db", "--format", "json")).to.equal(before);
  };
  const GIB = 1024 ** 3;
  const SYSTEM = { name: "system", size: 5 * GIB, excluded: false };
  const disk = (name: string, gib: number, excluded = false) => ({ name, size: gib * GIB, excluded });

  beforeEach(async () => {
    at = await cliRoom();
    await at.done("launch", "any", "-n", "db", "--extra-disk", "2G", "--extra-disk", "4G");
    await at.done("stop", "db");
  });
  afterEach(() => at[Symbol.asyncDispose]());

  it("lists those that an instance was launched with, the system disk first", async () => {
    expect(await list()).to.deep.equal([SYSTEM, disk("vdb", 2), disk("vdc", 4)]);
    await at.done("disk", "exclude", "db", "vdc");
    expect(await at.done("disk", "list", "db")).to.equal(
      "Name     Size     In snapshots\nsystem   5.0GiB   yes\nvdb      2.0GiB   yes\nvdc      4.0GiB   no, excluded\n",
    );
    expect(await at.done("disk", "list", "db", "--format", "csv")).to.equal(
      "Name,Size,Excluded\nsystem,5368709120,false\nvdb,2147483648,false\nvdc,4294967296,true\n",
    );
  });

  it("refuses launches with disks that cannot be, before anything is made", async () => {
    await refused(2, 'invalid disk size "x"', "launch", "any", "-n", "two", "--extra-disk", "x");
    await refused(2, "below the minimum of 1M", "launch", "any", "-n", "two", "--extra-disk", "1023K");
    await refused(3, 'instance "two" does not exist', "info", "two");
  });

  it("adds, grows and removes disks of stopped instances", async () => {
    expect(await at.done("disk", "add", "db", "1G")).to.equal("Disk added: db vdd\n");
    await at.done("disk", "grow", "db", "vdb", "3G");
    await at.done("disk", "grow", "db", "system", "6G");
    await at.done("disk", "remove", "db", "vdc", "--yes");
    expect(await list()).to.deep.equal([{ ...SYSTEM, size: 6 * GIB }, disk("vdb", 3), disk("vdd", 1)]);
    await refused(2, 'the disk of "db" cannot shrink', "disk", "grow", "db", "vdb", "2G");
    await refused(3, '"db" has no disk "vdx"', "disk", "grow", "db", "vdx", "9G");
    await refused(3, 'Did you mean "vdb" or "vdd"?', "disk", "remove", "db", "vdx", "--yes");
    await refused(3, '"db" has no disk "system"', "disk", "remove", "db", "system", "--yes");
    await refused(3, '"db" has no disk "system"', "disk", "exclude", "db", "system");
    await at.done("start", "db");
    await refused(5, "Disks can be added only to stopped instances", "disk", "add", "db", "1G");
    await refused(5, "Disks can be removed only from stopped instances", "disk", "remove", "db", "vdb", "-y");
    await refused(5, "Only stopped instances can be resized", "disk", "grow", "db", "vdb", "9G");
  });

  it("asks before it removes one, unless it is told to, and never in vain", async () => {
    await refused(2, "removing a disk requires --yes", "disk", "remove", "db", "vdb");
    const no = await at.onTerminal("\n", "disk", "remove", "db", "vdb");
    expect(no.stdout).to.contain("Remove disk vdb from db?").and.not.contain("Disk removed");
    expect((await at.onTerminal("yes\n", "disk", "remove", "db", "vdb")).stdout).to.contain(
      "Disk removed: db vdb",
    );
    expect(await list()).to.deep.equal([SYSTEM, disk("vdc", 4)]);
    await at.done("snapshot", "db", "--name", "clean");
    const kept = await at.onTerminal("yes\n", "disk", "remove", "db", "vdc");
    expect([kept.code, kept.stdout]).to.deep.equal([5, ""]);
    expect(kept.stderr).to.contain('disk "vdc" of "db" is part of snapshot "clean"');
    await refused(
      5,
      'disk "vdc" of "db" is part of snapshot "clean"',
      "disk",
      "remove",
      "db",
      "vdc",
      "--yes",
    );
  });

  it("says each time which disks a snapshot leaves out, and excludes them for good", async () => {
    const sentence =
      'disk vdc of "db" is excluded: snapshots do not have its contents, and restores leave it as it is\n';
    const first = await at.strata("snapshot", "db", "--exclude", "vdc");
    expect(first.stderr).to.equal(`strata: warning: ${sentence}`);
    const second = await at.strata("snapshot", "db");
    expect(second.stderr).to.equal(`strata: warning: ${sentence}`);
    expect(await list()).to.deep.equal([SYSTEM, disk("vdb", 2), disk("vdc", 4, true)]);
    expect(await at.done("info", "db")).to.contain(
      "Further disks:  vdb 2.0GiB\n                vdc 4.0GiB, excluded from snapshots\n",
    );
    await at.done("disk", "include", "db", "vdc");
    expect((await at.strata("snapshot", "db")).stderr).to.equal("");
    const snapshots = JSON.parse(await at.done("info", "--snapshots", "db", "--json", "--jq", "[.[].disks]"));
    expect(snapshots).to.deep.equal([
      [disk("vdb", 2), disk("vdc", 4, true)],
      [disk("vdb", 2), disk("vdc", 4, true)],
      [disk("vdb", 2), disk("vdc", 4)],
    ]);
  });

  it("excludes nothing where the snapshot is not taken", async () => {
    await at.done("snapshot", "db", "--name", "clean");
    await refused(4, "Snapshot already exists", "snapshot", "db", "--name", "clean", "--exclude", "vdb");
    await refused(3, '"db" has no disk "vdx"', "snapshot", "db", "--exclude", "vdb", "--exclude", "vdx");
  });

  it("says of each disk what a restore will do, before it asks and without a question", async () => {
    await at.done("snapshot", "db", "--name", "both");
    await at.done("disk", "add", "db", "1G");
    await at.done("disk", "exclude", "db", "vdb");
    const lines = [
      "disk vdb (2.0GiB) stays as it is now: it is excluded",
      "disk vdd (1.0GiB) is removed: both does not have it",
    ];
    const asked = await at.onTerminal("yes\n", "restore", "db.both");
    const [first = "", second = "", question] = asked.stdout.split("\n");
    expect([first, second]).to.deep.equal(lines.map((each) => `${each.replace("disk", "Disk")}.`));
    expect(question).to.match(/Do you want to take a snapshot/);
    expect(asked.stderr).to.equal(
      'strata: warning: disk vdb of "db" is excluded: snapshots do not have its contents, and restores leave it as it is\n',
    );
    expect(await list()).to.deep.equal([SYSTEM, disk("vdb", 2, true), disk("vdc", 4)]);
    const back = await at.onTerminal("no\n", "restore", "db.snapshot2");
    expect(back.stdout).to.contain("Disk vdd (1.0GiB) comes back.\n");
    const told = await at.strata("restore", "--destructive", "db.both");
    expect(told.stderr).to.equal(lines.map((each) => `strata: warning: ${each}\n`).join(""));
    expect(told.stdout).to.equal("Snapshot restored: db.both\n");
  });

  it("says which disks a clone does not have", async () => {
    await at.done("disk", "exclude", "db", "vdb");
    const { stderr } = await at.strata("clone", "db", "--name", "copy");
    expect(stderr).to.equal('strata: warning: disk vdb of "db" is excluded, so "copy" does not have it\n');
    expect(await at.done("list", "--columns", "name,disks", "--no-headers")).to.equal(
      "copy   vdc\ndb     vdb,vdc\n",
    );
  });

  it("shows them in the shapes that scripts read", async () => {
    await at.done("disk", "exclude", "db", "vdc");
    const { info } = JSON.parse(await at.done("info", "db", "--format", "json"));
    expect(info.db.disks).to.deep.equal({
      sda1: {},
      vdb: { total: "2147483648" },
      vdc: { total: "4294967296", excluded: true },
    });
    expect(await at.done("info", "db", "--format", "yaml")).to.contain(
      '    disks:\n      - sda1: {}\n      - vdb:\n          total: "2147483648"\n      - vdc:\n',
    );
    const typed = JSON.parse(await at.done("info", "-o", "json=disk,disks", "db"));
    expect(typed).to.deep.equal([{ disk: 5 * GIB, disks: [disk("vdb", 2), disk("vdc", 4, true)] }]);
  });

  it("are settings too", async () => {
    expect(await at.done("get", "--keys")).to.contain(
      "local.db.disk\nlocal.db.disk.vdb\nlocal.db.disk.vdc\n",
    );
    expect(await at.done("get", "local.db.disk.vdb")).to.equal("2.0GiB\n");
    await at.done("set", "local.db.disk.vdb=3G");
    expect(await at.done("get", "--raw", "local.db.disk.vdb")).to.equal(`${3 * GIB}\n`);
    await refused(3, '"db" has no disk "vdx"', "set", "local.db.disk.vdx=3G");
  });

  it("completes the names of disks", async () => {
    const next = async (...words: string[]) =>
      (await at.done("__complete", "--", ...words)).split("\n").filter(Boolean);
    expect(await next("disk", "remove", "db", "")).to.deep.equal(["vdb", "vdc"]);
    expect(await next("disk", "grow", "db", "")).to.deep.equal(["system", "vdb", "vdc"]);
    expect(await next("disk", "remove", "")).to.deep.equal(["db"]);
    expect(await next("snapshot", "db", "--exclude", "")).to.deep.equal(["vdb", "vdc"]);
    expect(await next("disk", "grow", "db", "vdb", "")).to.deep.equal([]);
  });
});

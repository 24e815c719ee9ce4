import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { type CliRoom, cliRoom } from "../../../../support/cli.ts";

describe("commands on snapshots", () => {
  let at: CliRoom;
  /** `NAME<PARENT` by creation. */
  const tree = async () => {
    const { info } = JSON.parse(await at.done("list", "--snapshots", "--format", "json"));
    const snapshots: Record<string, { parent: string }> = info.web ?? {};
    return Object.entries(snapshots).map(([name, { parent }]) => `${name}<${parent}`);
  };
  const inside = (...argv: string[]) => at.done("exec", "web", "--", ...argv);
  const write = async (text: string) => {
    await at.done("start", "web");
    at.input = text;
    await inside("tee", "note");
    await at.done("stop", "web");
  };
  const read = async () => {
    await at.done("start", "web");
    const text = await inside("cat", "note");
    await at.done("stop", "web");
    return text;
  };
  const refused = async (code: number, message: string, ...args: string[]) => {
    const before = await at.done("info", "web", "--snapshots", "--format", "json");
    const ended = await at.strata(...args);
    expect(ended.code, `${args.join(" ")}: ${ended.stderr}`).to.equal(code);
    expect(ended.stderr).to.contain(message);
    expect(await at.done("info", "web", "--snapshots", "--format", "json")).to.equal(before);
  };
  beforeEach(async () => {
    at = await cliRoom();
    await at.done("launch", "any", "-n", "web");
    await at.done("stop", "web");
  });
  afterEach(() => at[Symbol.asyncDispose]());

  it("are not taken of suspended instances", async () => {
    await at.done("start", "web");
    await at.done("suspend", "web");
    await refused(5, '"web" is Suspended', "snapshot", "web");
  });

  it("are taken with one option of several that exclude each other", async () => {
    for (const both of [
      ["--quiesce", "--memory"],
      ["--memory", "--stop"],
      ["--stop", "--quiesce"],
    ]) {
      await refused(2, "give one of --quiesce, --memory and --stop", "snapshot", "web", ...both);
    }
  });

  it("are looked at before anything is asked", async () => {
    await at.done("snapshot", "web");
    await refused(3, 'snapshot "snapshot2" of instance "web" does not exist', "restore", "web.snapshot2");
    await refused(3, 'snapshot "nosuch" of instance "web" does not exist', "delete", "web.nosuch");
    await refused(3, 'instance "nosuch" does not exist', "restore", "nosuch.snapshot1");
    await refused(2, "restore requires --destructive", "restore", "web.snapshot1");
    await at.done("start", "web");
    await at.done("suspend", "web");
    await refused(5, "Only running and stopped instances can be restored", "restore", "web.snapshot1");
    const asked = await at.onTerminal("yes\n", "restore", "web.snapshot1");
    expect([asked.code, asked.stdout], "on a terminal too").to.deep.equal([5, ""]);
  });

  it("are told apart by name where several are wrong, with what may have been meant", async () => {
    await at.done("snapshot", "web", "--name", "clean");
    const { code, stderr } = await at.strata("delete", "-p", "web.claen", "wbe", "web.other", "wbe.clean");
    expect(code).to.equal(3);
    expect(stderr.trimEnd().split("\n")).to.deep.equal([
      'strata: snapshot "claen" of instance "web" does not exist',
      'strata: instance "wbe" does not exist',
      'strata: snapshot "other" of instance "web" does not exist',
      'Did you mean "clean"? `strata list --snapshots` shows the snapshots.',
      'Did you mean "web"? `strata list` shows the instances.',
      "`strata list --snapshots` shows the snapshots.",
    ]);
    const shown = await at.strata("info", "web.none", "nobody", "web.nothing");
    expect(shown.stderr).to.match(/"none".*\n.*"nobody".*\n.*"nothing"/);
    expect(shown.stdout).to.equal("");
  });

  it("are called snapshotN, N one more than were ever taken, through deletion, restore and rename", async () => {
    expect(await at.done("snapshot", "web")).to.equal("Snapshot taken: web.snapshot1\n");
    expect(await at.done("snapshot", "web", "-n", "mine", "-c", "x")).to.equal("Snapshot taken: web.mine\n");
    expect(await at.done("snapshot", "web")).to.equal("Snapshot taken: web.snapshot3\n");
    await at.done("delete", "-p", "web.snapshot3");
    await at.done("set", "local.web.mine.name=other");
    expect(await at.done("snapshot", "web")).to.equal("Snapshot taken: web.snapshot4\n");
    await at.done("restore", "-d", "web.snapshot1");
    expect(await at.done("snapshot", "web")).to.equal("Snapshot taken: web.snapshot5\n");
  });

  it("have names that are right and free, else nothing is taken", async () => {
    await at.done("snapshot", "web", "-n", "one");
    await refused(4, "Snapshot already exists: web.one", "snapshot", "web", "--name", "one");
    for (const bad of ["a.b", "-", "1", "a_b"]) {
      await refused(2, "invalid snapshot name", "snapshot", "web", `--name=${bad}`);
    }
    for (const args of [
      ["restore", "-d", "web.none"],
      ["delete", "-p", "web.none"],
      ["info", "web.none"],
      ["get", "local.web.none.name"],
    ]) {
      await refused(3, 'snapshot "none" of instance "web" does not exist', ...args);
    }
  });

  it("keep any comment, whole everywhere but cut in the table", async () => {
    const comment = 'first \u{1f680} line\nsecond, with "quotes"';
    await at.done("snapshot", "web", "--comment", comment);
    expect(await at.done("get", "local.web.snapshot1.comment")).to.equal(`${comment}\n`);
    expect(await at.done("list", "--snapshots")).to.contain("first \u{1f680} line…\n");
    const { info } = JSON.parse(await at.done("info", "web.snapshot1", "--format", "json"));
    expect(info.web.snapshots.snapshot1.comment).to.equal(comment);
    await at.done("set", "local.web.snapshot1.comment=");
    expect(await at.done("get", "--raw", "local.web.snapshot1.comment")).to.equal("\n");
  });

  it("have the one last taken or restored as their parent; a deleted one's children get its parent", async () => {
    for (const name of ["a", "b", "c"]) {
      await at.done("snapshot", "web", "-n", name);
    }
    await at.done("restore", "-d", "web.a");
    await at.done("snapshot", "web", "-n", "d");
    expect(await tree()).to.deep.equal(["a<", "b<a", "c<b", "d<a"]);
    await at.done("set", "local.web.a.name=root");
    expect(await tree()).to.deep.equal(["root<", "b<root", "c<b", "d<root"]);
    await at.done("delete", "-p", "web.root");
    await at.done("delete", "-p", "web.d");
    expect(await tree()).to.deep.equal(["b<", "c<b"]);
    await at.done("snapshot", "web", "-n", "e");
    expect(await tree()).to.deep.equal(["b<", "c<b", "e<"]);
    await at.done("clone", "web", "--name", "other");
    await at.done("snapshot", "-c", "a comment", "other");
    expect(await at.done("list", "--snapshots", "other", "--format", "csv")).to.equal(
      'Instance,Snapshot,Parent,Comment,Consistency,Group\nother,snapshot1,,"a comment",stopped,\n',
    );
    await refused(3, 'instance "none" does not exist', "list", "--snapshots", "web", "none");
    expect(await at.done("list", "--snapshots", "--tree", "web")).to.equal("web\n├─ b\n│  c\n└─ e  <- now\n");
  });

  it("bring back contents, CPUs, memory, disk size and mounts; name, aliases and snapshots stay", async () => {
    const source = join(at.folder, "shared");
    await mkdir(source);
    await write("first");
    await at.done("mount", source, "web:/shared");
    await at.done("snapshot", "web", "-n", "clean");
    await write("second");
    await at.done("set", "local.web.cpus=3", "local.web.memory=2G", "local.web.disk=8G");
    await at.done("umount", "web");
    await at.done("alias", "web:echo");
    await at.done("snapshot", "web", "-n", "later");
    expect(await at.done("restore", "--destructive", "web.clean")).to.equal("Snapshot restored: web.clean\n");
    expect(await read()).to.equal("first");
    const values = ["cpus", "memory", "disk"].map((which) => at.done("get", "--raw", `local.web.${which}`));
    expect(await Promise.all(values)).to.deep.equal(["1\n", `${1024 ** 3}\n`, `${5 * 1024 ** 3}\n`]);
    const { info } = JSON.parse(await at.done("info", "web", "--format", "json"));
    expect(info.web.mounts["/shared"].source_path).to.equal(source);
    expect(await at.done("aliases")).to.contain("echo");
    await at.done("restore", "-d", "web.later");
    expect(await read()).to.equal("second");
    expect(await at.done("get", "local.web.disk")).to.equal("8.0GiB\n");
  });

  it("are restored on a terminal after a question, which saves first unless that is refused", async () => {
    await write("first");
    await at.done("snapshot", "web", "-n", "clean");
    await write("second");
    const asked = await at.onTerminal("\r", "restore", "web.clean");
    expect(asked.stdout).to.contain(
      "Do you want to take a snapshot of web before discarding its current state? (Yes/no)",
    );
    expect(asked.stdout).to.contain("Snapshot taken: web.snapshot2\nSnapshot restored: web.clean\n");
    expect(await at.done("get", "local.web.snapshot2.comment")).to.equal("Before restoring clean\n");
    await at.onTerminal("no\r", "restore", "web.snapshot2");
    expect(await read()).to.equal("second");
    expect(await tree()).to.deep.equal(["clean<", "snapshot2<clean"]);
    expect((await at.onTerminal("\x03", "restore", "web.clean")).code).to.equal(130);
    expect(await read()).to.equal("second");
  });

  it("are restored after a snapshot of the current state without a question, where that is asked for", async () => {
    await at.done("snapshot", "web", "-n", "clean");
    expect(await at.done("restore", "--save-first", "web.clean")).to.equal(
      "Snapshot taken: web.snapshot2\nSnapshot restored: web.clean\n",
    );
    expect(await tree()).to.deep.equal(["clean<", "snapshot2<clean"]);
    await refused(2, "not both", "restore", "--save-first", "--destructive", "web.clean");
    expect(await tree()).to.deep.equal(["clean<", "snapshot2<clean"]);
  });

  it("are not restored without -d where no question can be asked", async () => {
    await at.done("snapshot", "web", "-n", "clean");
    await refused(
      2,
      "restore requires --destructive or --save-first when there is no terminal to prompt on",
      "restore",
      "web.clean",
    );
    await refused(2, "does not name a snapshot", "restore", "-d", "web");
  });

  it("are restored while the instance runs, which is said before the question", async () => {
    await at.done("snapshot", "web", "-n", "clean");
    await at.done("start", "web");
    const asked = await at.onTerminal("\r", "restore", "web.clean");
    expect(asked.stdout).to.match(/^"web" is running: its power is cut, and it is started again\.\n/);
    expect(asked.stdout).to.contain("Snapshot taken: web.snapshot2\nSnapshot restored: web.clean\n");
    expect(await at.done("list", "--snapshots", "--format", "csv")).to.contain(
      'web,snapshot2,clean,"Before restoring clean",crash,',
    );
    expect(await at.done("list")).to.match(/web +Running/);
    const left = await at.onTerminal("no\r", "restore", "--no-start", "web.clean");
    expect(left.stdout).to.match(/^"web" is running: its power is cut\.\n/);
    expect(await at.done("list")).to.match(/web +Stopped/);
    await at.done("restore", "-d", "--start", "web.clean");
    expect(await at.done("list")).to.match(/web +Running/);
  });

  it("with memory leave a stopped instance suspended, and say what resumes it", async () => {
    await at.done("start", "web");
    await at.done("snapshot", "web", "--memory", "-n", "warm");
    await at.done("stop", "web");
    const { stderr, stdout } = await at.strata("restore", "-d", "web.warm");
    expect(stdout).to.equal("Snapshot restored: web.warm\n");
    expect(stderr).to.equal('"web" is suspended; `strata start web` resumes it.\n');
    expect(await at.done("info", "web")).to.match(/State: +Suspended\nResumes: +web\.warm\n/);
    const [typed] = JSON.parse(await at.done("list", "-o", "json=state,resumes"));
    expect(typed).to.deep.equal({ state: "Suspended", resumes: "warm" });
    await at.done("start", "web");
    expect(await at.done("info", "web")).not.to.contain("Resumes");
    await at.done("stop", "web");
    await at.done("restore", "-d", "--disk-only", "web.warm");
    expect(await at.done("list")).to.match(/web +Stopped/);
  });

  it("are deleted on a terminal after a question, whose answer is no by default; also while it runs", async () => {
    await at.done("snapshot", "web", "-n", "clean");
    await at.onTerminal("\r", "delete", "web.clean");
    expect(await tree()).to.deep.equal(["clean<"]);
    await at.done("start", "web");
    const { code, stdout } = await at.onTerminal("yes\r", "delete", "web.clean");
    expect([code, stdout.includes("Delete web.clean?")]).to.deep.equal([0, true]);
    expect(await tree()).to.deep.equal([]);
  });

  it("let the disk grow and never shrink, and keep the size they recorded", async () => {
    await at.done("snapshot", "web");
    await at.done("set", "local.web.disk=6G");
    await refused(2, "cannot shrink", "set", "local.web.disk=5G");
    const { info } = JSON.parse(await at.done("info", "--snapshots", "web", "--format", "json"));
    expect(info.web.snapshots.snapshot1.disk_space).to.equal(String(5 * 1024 ** 3));
  });

  it("go into the bin with their instance, come back with it, and are gone with it", async () => {
    await at.done("snapshot", "web");
    await at.done("delete", "web");
    expect(await tree()).to.deep.equal([]);
    await at.done("recover", "web");
    expect(await tree()).to.deep.equal(["snapshot1<"]);
    await at.done("delete", "--purge", "web");
    await at.done("launch", "any", "-n", "web");
    await at.done("stop", "web");
    expect(await at.done("snapshot", "web")).to.equal("Snapshot taken: web.snapshot1\n");
  });

  it("show control characters of comments and errors on a terminal rather than send them", async () => {
    const evil = "a\u001b]0;title\u0007b\u009bc\u202ed\re";
    const harmless = /^[^\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]*$/;
    await at.done("snapshot", "web", "--comment", evil);
    for (const args of [
      ["list", "--snapshots"],
      ["list", "--snapshots", "--tree"],
      ["info", "web.snapshot1"],
    ]) {
      const shown = await at.done(...args);
      expect(shown, args.join(" ")).to.match(harmless).and.to.contain("a^[]0;title^Gb\\u009bc\\u202ed");
    }
    for (const args of [
      ["get", evil],
      ["info", evil],
      ["launch", evil, "-m", evil],
      ["list", "--format", evil],
      ["set", `${evil}=1`],
    ]) {
      const { code, stderr } = await at.strata(...args);
      expect(code).to.equal(2);
      expect(stderr, args[0]).to.match(harmless);
    }
  });
}).timeout(20_000);

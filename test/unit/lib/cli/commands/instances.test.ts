import { expect } from "chai";
import type { LaunchOptions, Strata } from "../../../../../lib/core/api/strata.ts";
import { type CliRoom, cliRoom } from "../../../../support/cli.ts";

describe("commands on instances", () => {
  let at: CliRoom;
  const states = async () =>
    Object.fromEntries(
      (await at.done("list", "--format", "csv"))
        .trim()
        .split("\n")
        .slice(1)
        .map((line) => line.split(",").slice(0, 2)),
    );
  const refused = async (code: number, message: string | RegExp, ...args: string[]) => {
    const before = await at.done("list", "--format", "json");
    const ended = await at.strata(...args);
    expect(ended.code, `${args.join(" ")}: ${ended.stderr}`).to.equal(code);
    expect(ended.stdout).to.equal("");
    expect(ended.stderr).to.match(message instanceof RegExp ? message : new RegExp(message));
    expect(await at.done("list", "--format", "json")).to.equal(before);
  };
  beforeEach(async () => {
    at = await cliRoom();
    for (const name of ["web", "db"]) {
      expect(await at.done("launch", "any", "-n", name)).to.equal(`Launched: ${name}\n`);
    }
  });
  afterEach(() => at[Symbol.asyncDispose]());

  it("give names of letters, digits and hyphens only", async () => {
    const bad = ["1a", "-a", "a-", "a_b", "a/b", "../a", "a b", "ä", "a\n", `a${"b".repeat(63)}`];
    for (const name of bad) {
      await refused(2, "invalid instance name", "launch", "any", `--name=${name}`);
      await refused(2, "invalid instance name", "clone", "web", `--name=${name}`);
      await refused(2, "invalid instance name", "rename", "--", "web", name);
    }
    await at.done("launch", "any", "--name", `a${"b".repeat(62)}`);
    await at.done("launch", "any", "--name", "A-1");
  });

  it("take the names that other tools give, and no others, at every entrance", async () => {
    for (const name of ["-a", "a/b", "../a", "a:b", "a=b", "a\n", "a "]) {
      for (const command of [
        "start",
        "stop",
        "restart",
        "suspend",
        "info",
        "recover",
        "delete",
        "snapshot",
        "clone",
      ]) {
        await refused(2, "invalid instance name", command, "--", name);
      }
      await refused(2, "invalid instance name", "exec", "--", name, "true");
    }
    for (const name of ["1a", "a_b", "Windows 11", "büro"]) {
      await refused(3, `instance "${name}" does not exist`, "start", name);
    }
  });

  it("make up a name of two words where none is given, another one each time", async () => {
    for (let n = 0; n < 5; n++) {
      expect(await at.done("launch", "any")).to.match(/^Launched: [a-z]+-[a-z]+\n$/);
    }
    expect(Object.keys(await states())).to.have.length(7);
  });

  it("name each one that is wrong on a line of its own, and change none", async () => {
    for (const command of ["start", "stop", "restart", "suspend", "delete", "recover", "info"]) {
      await refused(
        3,
        /^strata: instance "dbb" does not exist\nstrata: instance "nobody" does not exist\nDid you mean "db"\?/,
        ...[command, "dbb", "web", "nobody", "dbb"],
      );
    }
    await refused(3, /"nobody" does not exist\nstrata: instance "noone"/, "mount", "/", "nobody", "noone");
    await refused(2, /"1\/a"\nstrata: invalid instance name "2\/b"/, "delete", "1/a", "2/b");
    await refused(
      2,
      /'a.b'\nstrata: Unrecognized settings key: 'local.drivr'\n[\s\S]*mean "local.driver"/,
      "set",
      "a.b=1",
      "local.drivr=x",
    );
  });

  it("name what does not exist or exists already, deleted instances too", async () => {
    await refused(3, 'instance "nobody" does not exist', "start", "web", "nobody");
    await refused(4, 'instance "web" already exists', "launch", "any", "--name", "web");
    await at.done("delete", "web");
    await refused(4, 'instance "web" already exists', "launch", "any", "--name", "web");
  });

  it("start, stop, suspend and restart, again and again; names given twice count once", async () => {
    for (const [command, state] of [
      ["stop", "Stopped"],
      ["start", "Running"],
      ["suspend", "Suspended"],
      ["start", "Running"],
      ["restart", "Running"],
    ] as const) {
      await at.done(command, "web", "web");
      if (command !== "restart") {
        await at.done(command, "web");
      }
      expect((await states()).web).to.equal(state);
    }
    await at.done("stop", "--all");
    expect(await states()).to.deep.equal({ web: "Stopped", db: "Stopped" });
    await at.done("restart", "--all");
    expect(await states(), "what does not run").to.deep.equal({ web: "Stopped", db: "Stopped" });
    await refused(2, "not both", "start", "--all", "web");
  });

  it("say where there is nothing to stop or suspend, unless all are meant", async () => {
    await at.done("stop", "web");
    const said = async (...args: string[]) => {
      const { code, stdout, stderr } = await at.strata(...args);
      expect([code, stdout], args.join(" ")).to.deep.equal([0, ""]);
      return stderr;
    };
    expect(await said("stop", "web", "db")).to.equal('strata: warning: "web" is already Stopped\n');
    expect(await said("suspend", "web")).to.contain('"web" is Stopped, so it has no memory to save');
    expect(await said("stop", "--cancel", "web")).to.contain('"web" has no delayed shutdown to cancel');
    await at.done("start", "web");
    expect(await said("suspend", "web")).to.equal("");
    expect(await said("suspend", "web")).to.contain('"web" is already Suspended');
    expect(await said("suspend", "--all")).to.equal("");
    await at.done("start", "web");
    expect(await said("restart", "web")).to.equal("");
    await at.done("stop", "web");
    expect(await said("stop", "--all")).to.equal("");
    expect(await said("restart", "web")).to.equal("");
  });

  it("are purged all at once after a question on a terminal, and without one in scripts", async () => {
    await at.done("delete", "web");
    const kept = await at.onTerminal("\n", "purge");
    expect(kept.stdout).to.contain("Purge web? (yes/No)").and.not.contain("Purged:");
    expect((await states()).web).to.equal("Deleted");
    const gone = await at.onTerminal("yes\n", "purge");
    expect(gone.stdout).to.contain("Purged: web\n");
    const all = await at.onTerminal("no\n", "delete", "--all", "--purge");
    expect(all.stdout).to.contain("Purge db? (yes/No)");
    expect(Object.keys(await states())).to.deep.equal(["db"]);
    await at.onTerminal("", "delete", "--all", "--purge", "--yes");
    expect(await states()).to.deep.equal({});
    expect((await at.onTerminal("", "purge")).stdout, "nothing to ask about").to.equal("");
  });

  it("mean the primary instance where none is named, and launch it when it is missing", async () => {
    expect(await at.done("get", "client.primary-name")).to.equal("primary\n");
    await refused(3, 'instance "primary" does not exist', "stop");
    expect(await at.done("start")).to.equal("");
    expect((await states()).primary).to.equal("Running");
    await at.done("set", "client.primary-name=web");
    await at.done("stop");
    expect(await states()).to.deep.equal({ primary: "Running", web: "Stopped", db: "Running" });
  });

  it("tell people of a primary instance that was launched, and wait for it as long as they say", async () => {
    const asked: LaunchOptions[] = [];
    const double: { readonly [Key in keyof Strata]?: Partial<Strata[Key]> } = {
      settings: { get: async () => "primary" },
      instances: {
        list: async () => [],
        launch: async ({ image, name, timeout }) => {
          asked.push({ image, ...(name && { name }), ...(timeout && { timeout }) });
          return { name: "primary" };
        },
      },
      [Symbol.asyncDispose]: async () => {},
    };
    await using other = await cliRoom(async () => double as Strata);
    const { code, stdout } = await other.onTerminal("", "start", "--timeout", "7");
    expect([code, stdout]).to.deep.equal([0, "Launched: primary\n"]);
    expect(asked).to.deep.equal([{ image: "default", name: "primary", timeout: 7000 }]);
  });

  it("keep release and CPUs in sight while a shutdown is to come, and until then only", async () => {
    await at.done("stop", "--time", "10", "web");
    const shown = async () => JSON.parse(await at.done("info", "web", "--format", "json")).info.web;
    const { state, release, cpu_count } = await shown();
    expect([state, release, cpu_count]).to.deep.equal(["Delayed Shutdown", "any", "1"]);
    expect(await at.done("info", "web"))
      .to.match(/^Release: +any$/m)
      .and.match(/^CPU\(s\): +1$/m);
    expect(await at.done("info", "web", "--format", "csv")).to.match(/,any,.*,1,0,\n$/);
    await at.done("stop", "web");
    expect((await shown()).release).to.equal("");
    expect(await at.done("info", "web")).to.match(/^Release: +--$/m);
  });

  it("delete what can be recovered, and takes no other command until then", async () => {
    await at.done("delete", "web");
    expect(await states()).to.deep.equal({ web: "Deleted", db: "Running" });
    for (const args of [
      ["start", "web"],
      ["stop", "web"],
      ["snapshot", "web"],
      ["exec", "web", "--", "true"],
      ["clone", "web"],
    ]) {
      await refused(5, 'instance "web" is deleted', ...args);
    }
    expect(await at.done("info", "web")).to.contain("Deleted");
    await at.done("recover", "web");
    expect((await states()).web).to.equal("Stopped");
    await refused(5, "is not deleted", "recover", "web");
    await at.done("delete", "--purge", "web");
    expect(await states()).to.deep.equal({ db: "Running" });
    await at.done("delete", "--all");
    expect(await at.done("purge")).to.equal("Purged: db\n");
    expect(await at.done("list")).to.equal("No instances found.\n");
  });

  it("delete instances and snapshots in one request, or nothing of it", async () => {
    await at.done("stop", "web");
    await at.done("snapshot", "web", "-n", "one");
    for (const bad of ["nobody", "web.none", "db.one"]) {
      await refused(3, "does not exist", "delete", "-p", "db", "web.one", bad);
    }
    await refused(2, "requires --purge when there is no terminal", "delete", "db", "web.one");
    await at.done("delete", "--purge", "db", "web.one");
    expect(await states()).to.deep.equal({ web: "Stopped" });
    expect(await at.done("list", "--snapshots")).to.equal("No snapshots found.\n");
  });

  it("read sizes as they are written, and refuse what is none or too small", async () => {
    for (const [size, bytes] of [
      ["134217728", 134217728],
      ["1.5G", 1610612736],
      ["512MiB", 536870912],
      ["300mb", 314572800],
      ["262144k", 268435456],
    ] as const) {
      await at.done("launch", "any", "-n", "sized", "-m", size);
      expect(await at.done("get", "--raw", "local.sized.memory")).to.equal(`${bytes}\n`);
      await at.done("delete", "-p", "sized");
    }
    for (const size of ["1.5", "1.1B", "0", "-1", "1T", "", "abc", "1 G x"]) {
      await refused(2, "invalid memory size", "launch", "any", `--memory=${size}`);
    }
    await refused(2, "memory size 127M is below the minimum of 128M", "launch", "any", "-m", "127M");
    await refused(2, "below the minimum of 512M", "launch", "any", "-d", "511M");
    for (const cpus of ["0", "-1", "1.5", "many"]) {
      await refused(2, "invalid value .* for cpus", "launch", "any", `--cpus=${cpus}`);
    }
    expect(await at.done("get", "local.web.cpus")).to.equal("1\n");
    expect(await at.done("get", "local.web.memory")).to.equal("1.0GiB\n");
    expect(await at.done("get", "local.web.disk")).to.equal("5.0GiB\n");
  });

  it("run commands, with their exit status and their streams", async () => {
    at.input = "text";
    expect(await at.done("exec", "web", "--", "cat")).to.equal("text");
    expect((await at.strata("exec", "web", "--", "false")).code).to.equal(1);
    expect((await at.strata("exec", "web", "--", "nothing")).code).to.equal(127);
    expect(await at.done("exec", "web", "--", "echo", "--format", "x")).to.equal("--format x\n");
    await refused(2, "needs a command", "exec", "web");
    await refused(2, "shell needs a terminal", "shell", "web");
  });

  it("clone stopped instances, without their snapshots, under names that are free", async () => {
    await refused(5, /"web" is Running\n`strata stop web` stops it/, "clone", "web");
    await at.done("stop", "web");
    await at.done("snapshot", "web");
    expect(await at.done("clone", "web")).to.equal("Cloned from web to web-clone1.\n");
    expect(await at.done("clone", "web")).to.equal("Cloned from web to web-clone2.\n");
    expect(await at.done("clone", "web", "-n", "copy")).to.equal("Cloned from web to copy.\n");
    await refused(4, "already exists", "clone", "web", "-n", "db");
    expect(await at.done("list", "--snapshots", "--format", "csv")).to.equal(
      'Instance,Snapshot,Parent,Comment,Consistency,Group\nweb,snapshot1,,"",stopped,\n',
    );
  });

  it("are listed without their addresses where those are not wanted", async () => {
    expect(await at.done("list", "--format", "csv")).to.contain("web,Running,10.0.0.1,any,10.0.0.1\n");
    expect(await at.done("list", "--no-ipv4", "--format", "csv")).to.contain("web,Running,,any,\n");
  });

  it("are renamed with their snapshots, and aliases and the primary instance follow", async () => {
    await refused(5, 'Only stopped instances can be renamed: "web" is Running', "rename", "web", "www");
    await at.done("alias", "web:cat", "read");
    await at.done("set", "client.primary-name=web");
    at.input = "kept";
    await at.done("exec", "web", "--", "tee", "note");
    await at.done("stop", "web");
    await at.done("snapshot", "web", "--name", "clean");
    await refused(4, 'instance "db" already exists', "rename", "web", "db");
    await refused(2, "invalid instance name", "rename", "web", "1a");
    await refused(3, 'instance "wbe" does not exist', "rename", "wbe", "www");
    expect(await at.done("rename", "web", "www")).to.equal("Renamed: web to www\n");
    expect(await states()).to.deep.equal({ www: "Stopped", db: "Running" });
    expect(await at.done("list", "--snapshots", "--format", "csv")).to.contain("www,clean,,");
    expect(await at.done("get", "client.primary-name")).to.equal("www\n");
    expect(await at.done("read", "note")).to.equal("kept");
  });

  it("have their snapshots renamed, which stay theirs", async () => {
    await at.done("stop", "web");
    await at.done("snapshot", "web");
    await at.done("snapshot", "web");
    expect(await at.done("rename", "web.snapshot1", "clean")).to.equal("Renamed: web.snapshot1 to clean\n");
    await at.done("rename", "web.snapshot2", "web.later");
    await refused(2, "a snapshot stays in its instance", "rename", "web.later", "db.later");
    await refused(4, "Snapshot already exists", "rename", "web.later", "clean");
    expect(await at.done("list", "--snapshots", "--format", "csv")).to.contain('web,later,clean,""');
  });

  it("wait for the engine, and say who may use it", async () => {
    expect(await at.done("wait-ready", "--timeout", "5")).to.equal("");
    expect(await at.done("authenticate")).to.equal("You may use memory.\n");
    await refused(11, "strata has no passphrase", "authenticate", "secret");
    await refused(2, "invalid value", "wait-ready", "--timeout", "soon");
  });
}).timeout(20_000);

import { chmod, chown, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { lockOf } from "../../../lib/engine/conformance/fixture.ts";
import type { Engine, ExecSession } from "../../../lib/engine/contract.ts";
import { asStrataError } from "../../../lib/errors.ts";
import { refusal } from "../../support/images/images.ts";
import { silent } from "../../support/libvirt/fixture.ts";
import { type LxdFixture, lxdFixture } from "../../support/lxd/fixture.ts";
import { type LxdTestInstance, lxdInstance } from "../../support/lxd/instance.ts";
import { openServer, testServer } from "../../support/lxd/server.ts";
import { PROGRAM } from "../../support/program.ts";

/** What is typed into a command at a terminal, and waiting for what it answers. */
function conversation({ stdin, stdout }: ExecSession) {
  let heard = "";
  let wake = () => {};
  stdout.on("data", (data: Buffer) => {
    heard += String(data);
    wake();
  });
  return {
    types: (line: string) => stdin.write(`${line}\n`),
    async hears(text: string) {
      while (!heard.includes(text)) {
        await new Promise<void>((resolve) => (wake = resolve));
      }
      heard = heard.slice(heard.indexOf(text) + text.length);
    },
  };
}

const { flavour } = testServer;

describe(`inside a container of ${flavour.title}`, () => {
  let fixture: LxdFixture;
  let engine: Engine;
  let own: LxdTestInstance;

  before(async () => {
    fixture = await lxdFixture();
    engine = fixture.engine;
    own = await lxdInstance(fixture, "lxd-guest");
  });
  after(() => fixture?.[Symbol.asyncDispose]());

  it("runs commands as the default user at home, as another one elsewhere, and as none that is not there", async () => {
    await own.start();
    const found = await own.run(["sh", "-c", 'echo "$(id -un) $HOME $PWD"']);
    expect(found).to.deep.equal({ out: "tester /home/tester /home/tester", complaint: "", code: 0 });
    expect((await own.run(["sh", "-c", "id -u; pwd"], { user: "root", cwd: "/etc" })).out).to.equal(
      "0\n/etc",
    );
    const nobody = await own.run(["true"], { user: "nobody-here" });
    expect(nobody).to.deep.equal({ out: "", complaint: "there is no user nobody-here", code: 126 });
  });

  it("loses nothing of what a command says that ends at once, however often, at a terminal or not", async () => {
    const said: string[] = [];
    const options = { user: "root", cwd: "/tmp" };
    const tty = { columns: 80, rows: 24, term: "xterm" };
    for (let round = 0; round < 100; round++) {
      said.push((await own.run(["pwd"], options)).out);
    }
    for (let round = 0; round < 30; round++) {
      said.push((await own.run(["pwd"], { ...options, tty })).out);
    }
    expect(said.filter((each) => each !== "/tmp")).to.deep.equal([]);
  });

  for (const user of ["root", "tester"]) {
    it(`gives a command of ${user}'s a terminal, with its size, its keys and its end`, async () => {
      const tty = { columns: 91, rows: 27, term: "vt100" };
      const session = await own.open(["sh"], { tty, user });
      const { hears, types } = conversation(session);
      types('echo "$(id -un) $TERM $(stty size) $(test -t 0 && test -t 2 && echo terminal)"');
      await hears(`${user} vt100 27 91 terminal`);
      types('until [ "$(stty size)" = "41 133" ]; do :; done; echo "as wide as $(stty size)"');
      session.resize(133, 41);
      await hears("as wide as 41 133");
      types('echo "begun: $((1 + 1))"; sleep 1000');
      await hears("begun: 2");
      session.stdin.write("\x03");
      types('echo "stopped with $?"');
      await hears("stopped with 130");
      types("exit 7");
      expect(await session.exit).to.deep.equal({ code: 7 });
    });
  }

  it("ends a command with a terminal that is called off, and leaves nothing of it running", async () => {
    const caller = new AbortController();
    const tty = { columns: 80, rows: 24, term: "xterm" };
    const { signal } = caller;
    const session = await own.open(["sh", "-c", 'echo "begun: $((1 + 1))"; exec sleep 1000'], {
      tty,
      signal,
    });
    await conversation(session).hears("begun: 2");
    caller.abort();
    expect((await session.exit.then(() => undefined, asStrataError))?.code).to.equal("CANCELLED");
    expect((await own.run(["pidof", "sleep"])).code).to.equal(1);
  });

  it("lets the program end with the command's status, at a terminal too", async () => {
    const env = { [flavour.variables.folder]: fixture.daemon.folder, HOME: fixture.folder };
    const command = `${process.execPath} ${PROGRAM} --driver ${flavour.name} exec ${own.instance.name} -- sh -c 'stty size; exit 7'`;
    const shell = `stty cols 101 rows 31; ${command}`;
    const ended = await execa("script", ["-qec", shell, "/dev/null"], { env, reject: false });
    expect([ended.exitCode, ended.stdout.trim()]).to.deep.equal([7, "31 101"]);
  });

  it("mounts a folder in a running container at once, and takes it away again", async () => {
    const { mounts } = engine;
    if (mounts === undefined) {
      throw new Error("the engine has no mounts");
    }
    const source = await mkdtemp(join(fixture.folder, "share-"));
    await chmod(source, 0o755);
    await writeFile(join(source, "note"), "from the host", { mode: 0o644 });
    const mount = { source, target: "/srv/share", type: "native", uidMap: [], gidMap: [] } as const;
    await own.whileLocked(async (call) => {
      expect(await mounts.attach(lockOf(own.instance.id), mount, call)).to.equal("applied");
    });
    expect((await own.run(["cat", "/srv/share/note"])).out).to.equal("from the host");
    await own.whileLocked((call) => mounts.detach(lockOf(own.instance.id), mount.target, call));
    expect((await own.run(["ls", "/srv/share"])).out).to.equal("");
    await own.cut();
  });

  it("gives a mount's files the owners that its map says, inside and on the host, also after a restore", async () => {
    const { mounts, snapshots } = engine;
    if (mounts === undefined) {
      throw new Error("the engine has no mounts");
    }
    const source = await mkdtemp(join(fixture.folder, "mapped-"));
    await writeFile(join(source, "note"), "mine\n", { mode: 0o600 });
    for (const path of [source, join(source, "note")]) {
      await chown(path, 1002, 1002);
    }
    const map = [{ host: 1002, guest: 1001 }];
    const mount = { source, target: "/srv/mapped", type: "native", uidMap: map, gidMap: map } as const;
    await own.whileLocked(async (call) => {
      expect(await mounts.attach(lockOf(own.instance.id), mount, call)).to.equal("restart");
    });
    await own.take("mapped", 1);
    await own.whileLocked((call) => mounts.detach(lockOf(own.instance.id), mount.target, call));
    await own.start();
    expect((await own.run(["ls", "/srv/mapped"])).out).to.equal("");
    await own.cut();
    await own.whileLocked((call) => snapshots.restore(lockOf(own.instance.id), "mapped", call));
    await own.start();
    const inside = "cat note; echo more > made; stat -c %u:%g note made /home/tester /home/ubuntu /root";
    const seen = await own.run(["sh", "-c", inside], { cwd: mount.target });
    expect(seen).to.deep.equal({
      out: "mine\n1001:1001\n1001:1001\n1001:1001\n1000:1000\n0:0",
      complaint: "",
      code: 0,
    });
    const { uid, gid } = await stat(join(source, "made"));
    expect([uid, gid]).to.deep.equal([1002, 1002]);
    expect((await own.run(["touch", "/srv/mapped/other"], { user: "ubuntu" })).code).to.equal(1);
    await own.cut();
    await own.whileLocked((call) => mounts.detach(lockOf(own.instance.id), mount.target, call));
  });

  it("maps no id that the host keeps to itself, says what lets it, and changes nothing", async () => {
    const { mounts } = engine;
    if (mounts === undefined) {
      throw new Error("the engine has no mounts");
    }
    const mount = { source: fixture.folder, target: "/srv/no", type: "native", gidMap: [] } as const;
    const attach = (host: number) =>
      own.whileLocked((call) =>
        mounts.attach(lockOf(own.instance.id), { ...mount, uidMap: [{ host, guest: 1001 }] }, call),
      );
    expect(await refusal(attach(1003))).to.deep.equal({
      code: "UNSUPPORTED",
      reason: `the host does not allow ${flavour.title} to map these ids; to allow it, add the lines root:1003:1 in /etc/subuid`,
    });
    const root = await refusal(attach(0));
    expect(root.code).to.equal("UNSUPPORTED");
    expect(root.reason).to.contain("the host's root");
    expect((await engine.instances.find(own.instance.name))?.mounts).to.deep.equal([]);
    await own.start();
    await own.cut();
  });

  it("has no id maps on a host that lets LXD map none, and tries again once that has changed", async () => {
    const dataFolder = join(fixture.folder, "unmapped");
    const settings = { socket: fixture.daemon.socket };
    await fixture.daemon.allow([]);
    await using other = await openServer({ settings, dataFolder, log: silent });
    const { features, missing } = await other.info();
    expect(features.has("mount.native") && !features.has("mount.idmap")).to.equal(true);
    expect(missing.get("mount.idmap")).to.contain("root:1000:1 in /etc/subuid, root:1000:1 in /etc/subgid");
    await fixture.daemon.allow([1000]);
    // What a trial has found counts only for the host as it was then, which a real one tells by its files.
    await rm(dataFolder, { recursive: true });
    expect((await other.info()).features.has("mount.idmap")).to.equal(true);
  });
});

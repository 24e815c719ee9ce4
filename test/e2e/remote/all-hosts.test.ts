import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { type Ended, PROGRAM, strata } from "../../support/program.ts";
import { type FarHost, farHost } from "../../support/remote/far-host.ts";

/** A host that accepts connections and says nothing. */
async function mute(): Promise<AsyncDisposable & { readonly port: number }> {
  const open = new Set<Socket>();
  const server: Server = createServer((socket) => open.add(socket)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") {
    throw new Error("the server has no port");
  }
  return {
    port: address.port,
    async [Symbol.asyncDispose]() {
      for (const socket of open) {
        socket.destroy();
      }
      server.close();
      await once(server, "close");
    },
  };
}

/** Runs strata where libvirt is not installed: its daemons cannot be executed, and none listens. */
async function withoutLibvirt(args: readonly string[], env: Record<string, string>): Promise<Ended> {
  const hide = DAEMONS.map((path) => `[ ! -e ${path} ] || mount --bind /dev/null ${path}`);
  const script = [...hide, "[ ! -e /run/libvirt ] || mount -t tmpfs none /run/libvirt", 'exec "$@"'].join(
    "\n",
  );
  const command = ["--mount", "sh", "-ec", script, "sh", process.execPath, PROGRAM, ...args];
  const {
    exitCode = 1,
    stdout,
    stderr,
  } = await execa("unshare", command, {
    env,
    reject: false,
    stripFinalNewline: false,
  });
  return { code: exitCode, stdout, stderr };
}

const DAEMONS = ["/usr/sbin/libvirtd", "/usr/sbin/virtqemud"];

describe("the instances of all hosts", () => {
  let far: FarHost;
  let here: (...args: string[]) => Promise<Ended>;
  const contexts = (all: Record<string, string>) =>
    writeFile(join(far.folder, "near/.config/strata/contexts.json"), JSON.stringify(all));
  before(async () => {
    far = await farHost();
    here = (...args) => strata(args, { env: { ...far.env, STRATA_DRIVER: "memory" } });
    await mkdir(join(far.folder, "near/.config/strata"), { recursive: true });
    await writeFile(
      join(far.home, "bin/strata"),
      `#!/bin/sh
case $* in
*release*) echo '[{"name": "web", "state": "Running", "ipv4": ["10.0.0.1"], "release": "Debian 12"}, {"name": "db", "state": "Stopped", "ipv4": [], "release": "\\u001b[31mred"}]' ;;
esac
[ ! -e "$HOME/fails" ] || { echo "strata: engine lxd: it cannot be reached" >&2; exit 7; }
`,
    );
  });
  after(() => far[Symbol.asyncDispose]());
  beforeEach(() => contexts({ box: far.address, attic: far.address }));

  it("are in one list, by their hosts", async () => {
    const { code, stdout, stderr } = await here("list", "--all-hosts");
    expect([code, stderr]).to.deep.equal([0, ""]);
    expect(stdout).to.equal(
      [
        "Host    Name   State     IPv4       Release",
        "attic   web    Running   10.0.0.1   Debian 12",
        "attic   db     Stopped   --         ^[[31mred",
        "box     web    Running   10.0.0.1   Debian 12",
        "box     db     Stopped   --         ^[[31mred",
        "",
      ].join("\n"),
    );
  });

  it("are filtered, ordered and shown as those of one host are", async () => {
    const { stdout } = await here(
      "list",
      "--all-hosts",
      "--columns=name,host",
      "--no-headers",
      "--filter=state=running",
      "--sort=-host",
    );
    expect(stdout).to.equal("web   box\nweb   attic\n");
    const typed = await here("list", "--all-hosts", "--output=json=host,name,ipv4", "--filter=host=box");
    expect(JSON.parse(typed.stdout)).to.deep.equal([
      { host: "box", name: "web", ipv4: ["10.0.0.1"] },
      { host: "box", name: "db", ipv4: [] },
    ]);
    const json = JSON.parse((await here("list", "--all-hosts", "--format", "json")).stdout);
    expect(json.errors).to.deep.equal([]);
    expect(json.list).to.have.length(4);
    expect((await here("list", "--all-hosts", "--snapshots")).code).to.equal(2);
    expect((await here("list", "--columns=host")).code).to.equal(2);
  });

  it("are those of all that answer, and the others are named", async () => {
    await contexts({ box: far.address, gone: "ssh://127.0.0.1:1", odd: "ssh://-x" });
    const { code, stdout, stderr } = await here("list", "--all-hosts", "--columns=host,name");
    expect(code).to.equal(7);
    expect(stdout).to.equal("Host   Name\nbox    web\nbox    db\n");
    expect(stderr).to.match(/^strata: host gone: host "gone" cannot be reached: .*refused/m);
    expect(stderr).to.match(/^strata: host odd: invalid value "ssh:\/\/-x"/m);
  });

  it("wait for hosts that do not answer no longer than for one of them", async () => {
    await using first = await mute();
    await using second = await mute();
    await contexts({
      box: far.address,
      mute1: `ssh://127.0.0.1:${first.port}`,
      mute2: `ssh://127.0.0.1:${second.port}`,
    });
    const begin = performance.now();
    const { code, stdout, stderr } = await here("list", "--all-hosts", "--columns=host,name");
    const seconds = (performance.now() - begin) / 1000;
    expect([code, stdout]).to.deep.equal([7, "Host   Name\nbox    web\nbox    db\n"]);
    expect(stderr).to.contain("host mute1: ").and.to.contain("host mute2: ");
    // ssh gives each ten seconds.
    expect(seconds).to.be.within(9, 18);
  });

  it("are incomplete where strata there says so", async () => {
    await contexts({ box: far.address });
    await far.there("touch fails");
    const { code, stdout, stderr } = await here("list", "--all-hosts", "--columns=host,name");
    await far.there("rm fails");
    expect([code, stdout]).to.deep.equal([7, "Host   Name\nbox    web\nbox    db\n"]);
    expect(stderr).to.equal("strata: host box: strata: engine lxd: it cannot be reached\n");
  });

  it("are those of the others where no engine is installed here, which is no failure", async () => {
    const withoutEngine = (...args: string[]) =>
      withoutLibvirt(args, { ...far.env, STRATA_DRIVER: "libvirt" });
    await contexts({ box: far.address });
    const { code, stdout, stderr } = await withoutEngine("list", "--all-hosts", "--columns=host,name");
    expect([code, stdout]).to.deep.equal([0, "Host   Name\nbox    web\nbox    db\n"]);
    expect(stderr).to.match(/^No engine is installed on this host: .*\n$/);
    expect((await withoutEngine("--quiet", "list", "--all-hosts")).stderr).to.equal("");

    await contexts({ gone: "ssh://127.0.0.1:1" });
    const alone = await withoutEngine("list", "--all-hosts");
    expect(alone.code).to.equal(7);
    expect(alone.stderr).to.match(
      /^strata: host local: .*no libvirtd or virtqemud is installed.*strata setup/m,
    );
  });

  it("do not come from what prints no list", async () => {
    await contexts({ box: far.address });
    await far.there(
      "mv bin/strata bin/away; printf '#!/bin/sh\\necho \"[7]\"\\n' >bin/strata; chmod +x bin/strata",
    );
    const odd = await here("list", "--all-hosts");
    await far.there("mv bin/away bin/strata");
    expect(odd.code).to.equal(1);
    expect(odd.stderr).to.contain("strata on box failed: it printed no list");
  });
});

describe("completion for another host", () => {
  let far: FarHost;
  const next = async (words: string[], env: Record<string, string> = {}) =>
    (await strata(["__complete", "--", ...words], { env: { ...far.env, ...env } })).stdout;
  before(async () => {
    far = await farHost();
    await strata(["context", "add", "box", far.address], { env: far.env });
    await strata(["context", "add", "gone", "ssh://127.0.0.1:1"], { env: far.env });
    await far.there("strata set client.primary-name=far");
    await far.there(
      `mv bin/strata bin/real; printf '#!/bin/sh\\n[ "$3" = info ] && { echo web; echo wiki; exit; }\\nexec %s/bin/real "$@"\\n' "$HOME" >bin/strata; chmod +x bin/strata`,
    );
  });
  after(() => far[Symbol.asyncDispose]());

  it("knows the hosts", async () => {
    expect(await next(["--host", ""])).to.equal("local\nbox\ngone\n");
    expect(await next(["context", "delete", "b"])).to.equal("box\n");
    expect(await next(["inventory", "--host", "x"])).to.equal(":files\n");
  });

  it("knows the commands and names there", async () => {
    expect(await next(["--host", "box", "context", "de"])).to.contain("delete");
    expect(await next(["--host", "box", "info", ""])).to.equal("web\nwiki\n");
    expect(await next(["--host", "box", "rena"])).to.contain("rename\t");
    expect(await next(["info", ""], { STRATA_HOST: "box" })).to.equal("web\nwiki\n");
  });

  it("is silent where that host is not", async () => {
    const { code, stdout, stderr } = await strata(["__complete", "--", "--host", "gone", "info", ""], {
      env: far.env,
    });
    expect({ code, stdout, stderr }).to.deep.equal({ code: 0, stdout: "", stderr: "" });
  });
});

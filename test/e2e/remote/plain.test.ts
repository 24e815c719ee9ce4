import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect } from "chai";
import { execa } from "execa";
import { done, type Ended, PROGRAM, strata } from "../../support/program.ts";
import { type FarHost, farHost } from "../../support/remote/far-host.ts";

describe("a command on another host", () => {
  let far: FarHost;
  before(async () => {
    far = await farHost();
    await done(["context", "add", "box", far.address], { env: far.env });
  });
  after(() => far[Symbol.asyncDispose]());

  const there = (args: readonly string[], input?: string): Promise<Ended> =>
    strata(["--host", "box", ...args], { env: far.env, ...(input === undefined ? {} : { input }) });
  /** A strata there that is a script, for one test. */
  const standIn = async (script: string, work: () => Promise<void>) => {
    const path = join(far.home, "bin/strata");
    const real = await readFile(path);
    await writeFile(path, `#!/bin/sh\n${script}\n`);
    try {
      await work();
    } finally {
      await writeFile(path, real);
    }
  };

  it("is carried out there and not here", async () => {
    const set = await there(["set", "client.primary-name=far"]);
    expect(set).to.deep.equal({ code: 0, stdout: "", stderr: "" });
    expect((await there(["get", "client.primary-name"])).stdout).to.equal("far\n");
    const settings = await readFile(join(far.home, ".config/strata/settings.json"), "utf8");
    expect(JSON.parse(settings)).to.deep.include({ "client.primary-name": "far" });
    expect(await done(["get", "client.primary-name"], { env: far.env })).to.not.equal("far\n");
  });

  it("goes where the variable or an address says as well", async () => {
    for (const [args, host] of [
      [["get", "client.primary-name"], "box"],
      [["--host", far.address, "get", "client.primary-name"], ""],
    ] as const) {
      const env = { ...far.env, STRATA_HOST: host };
      expect(await done([...args], { env })).to.equal("far\n");
    }
  });

  it("has its words as they were typed", async () => {
    await standIn('for each; do printf "%s\\0" "$each"; done', async () => {
      const words = [
        "exec",
        "web",
        "--",
        "sh",
        "-c",
        "echo \"$HOME\" 'it'\\''s' `id`",
        "",
        "a\nb",
        "-oProxyCommand=x",
      ];
      expect((await there(words)).stdout.split("\0").slice(0, -1)).to.deep.equal(words);
    });
  });

  it("has its input and its exit code, and its two outputs apart", async () => {
    await standIn('cat; echo "to stderr" >&2; exit 42', async () => {
      const input = "line\n".repeat(100_000);
      expect(await there(["exec", "web", "--", "cat"], input)).to.deep.equal({
        code: 42,
        stdout: input,
        stderr: "to stderr\n",
      });
    });
  });

  it("leaves the input to the next program if it does not read it", async () => {
    const loop = `while read -r name; do "$1" "$2" --host box info "$name"; done`;
    await standIn('echo "$2"', async () => {
      const { stdout } = await execa("sh", ["-c", loop, "sh", process.execPath, PROGRAM], {
        env: far.env,
        input: "a\nb\nc\n",
      });
      expect(stdout).to.equal("a\nb\nc");
    });
  });

  it("fails with strata's error there", async () => {
    const { code, stderr } = await there(["info", "nosuch"]);
    expect(code).to.equal(3);
    expect(stderr).to.contain('instance "nosuch" does not exist');
  });

  it("may exit with 255 without being taken for a failure of ssh", async () => {
    await standIn("exit 255", async () => {
      expect(await there(["exec", "web", "--", "false"])).to.deep.equal({
        code: 255,
        stdout: "",
        stderr: "",
      });
    });
  });

  it("is interrupted there by Ctrl-C here, and says how it ended", async () => {
    const script = `trap 'echo interrupted >&2; exit 130' INT; echo begun; while :; do sleep 0.1; done`;
    await standIn(script, async () => {
      const child = spawn(process.execPath, [PROGRAM, "--host", "box", "events"], { env: far.env });
      await once(child.stdout, "data");
      const said = text(child.stderr);
      child.kill("SIGINT");
      const [code] = await once(child, "exit");
      expect([code, await said]).to.deep.equal([130, "interrupted\n"]);
    });
  });

  it("has a terminal where there is one here, on which Ctrl-C works too", async () => {
    const script = `tty >&2; trap 'echo interrupted; exit 130' INT; echo begun; while :; do sleep 0.1; done`;
    await standIn(script, async () => {
      // script(1) gives the command a terminal.
      const command = `'${process.execPath}' '${PROGRAM}' --host box shell web`;
      const child = spawn("script", ["-qefc", command, "/dev/null"], { env: far.env });
      let shown = "";
      child.stdout.on("data", (chunk: Buffer) => {
        shown += chunk;
        if (shown.endsWith("begun\r\n")) {
          child.stdin.write("\x03");
        }
      });
      const [code] = await once(child, "exit");
      expect(shown).to.match(/^\/dev\/pts\/\d+\r\nbegun\r\n\^Cinterrupted\r\n$/);
      expect(code).to.equal(130);
    });
  });

  it("needs a strata there", async () => {
    const path = join(far.home, "bin/strata");
    const real = await readFile(path);
    await far.there(`mv bin/strata bin/away`);
    try {
      const { code, stderr } = await there(["list"]);
      expect(code).to.equal(7);
      expect(stderr).to.equal('strata: on box, the program "strata" is not installed\n');
    } finally {
      await writeFile(path, real, { mode: 0o755 });
    }
  });

  it("shares one connection with those after it, which nobody else can use", async () => {
    await there(["get", "client.primary-name"]);
    const pid = "ssh -S near/run/strata/* -O check x 2>&1";
    const first = await execa("sh", ["-c", pid], { cwd: far.folder });
    await there(["get", "client.primary-name"]);
    const second = await execa("sh", ["-c", pid], { cwd: far.folder });
    expect(first.stdout).to.match(/^Master running \(pid=\d+\)/);
    expect(second.stdout).to.equal(first.stdout);
    const { stdout } = await execa("stat", ["-c", "%a", join(far.folder, "near/run/strata")]);
    expect(stdout).to.equal("700");
  });
});

describe("a host that cannot be reached", () => {
  let far: FarHost;
  before(async () => {
    far = await farHost();
  });
  after(() => far[Symbol.asyncDispose]());

  it("is told apart from a command that fails, with ssh's own words", async () => {
    const { code, stdout, stderr } = await strata(["--host", "ssh://127.0.0.1:1", "list"], { env: far.env });
    expect([code, stdout]).to.deep.equal([7, ""]);
    expect(stderr).to.match(/^strata: host "ssh:\/\/127.0.0.1:1" cannot be reached: .*Connection refused/);
  });

  it("may be one that does not let us in", async () => {
    await writeFile(join(far.folder, "authorized"), "");
    const { code, stderr } = await strata(["--host", far.address, "list"], { env: far.env });
    expect(code).to.equal(7);
    expect(stderr).to.match(/Permission denied \(publickey/);
  });

  it("may be another one than it was", async () => {
    await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(far.folder, "other")]);
    const other = (await readFile(join(far.folder, "other.pub"), "utf8")).split(" ").slice(0, 2).join(" ");
    const name = far.address.replace(/^.*@(.*):(\d+)$/, "[$1]:$2");
    await writeFile(join(far.folder, "known"), `${name} ${other}\n`);
    const { code, stderr } = await strata(["--host", far.address, "list"], { env: far.env });
    expect(code).to.equal(7);
    expect(stderr).to.contain("Host key verification failed");
  });

  it("may go while a command runs there", async () => {
    await using gone = await farHost();
    await mkdir(join(gone.home, "bin"), { recursive: true });
    await writeFile(join(gone.home, "bin/strata"), "#!/bin/sh\necho begun; exec sleep 600\n");
    const child = spawn(process.execPath, [PROGRAM, "--host", gone.address, "events"], { env: gone.env });
    await once(child.stdout, "data");
    const said = text(child.stderr);
    await gone.stop();
    const [code] = await once(child, "exit");
    expect([code, await said].join(" ")).to.match(/^7 (.|\n)*the connection to host .* was lost/);
  });
});

describe("names of other hosts", () => {
  let far: FarHost;
  before(async () => {
    far = await farHost();
  });
  after(() => far[Symbol.asyncDispose]());
  const here = (...args: string[]) => strata(args, { env: far.env });

  it("are added, listed and forgotten", async () => {
    expect((await here("context", "list")).stdout).to.equal("No contexts defined.\n");
    await here("context", "add", "lab", "ssh://10.0.0.7:2222");
    await here("context", "add", "box", "ssh://admin@box.example");
    expect((await here("context", "list")).stdout).to.equal(
      "Name   Address\nbox    ssh://admin@box.example\nlab    ssh://10.0.0.7:2222\n",
    );
    expect((await here("context", "delete", "lab", "box")).code).to.equal(0);
    expect(JSON.parse((await here("context", "list", "--format", "json")).stdout)).to.deep.equal({
      contexts: [],
    });
  });

  it("are refused where they mean something else, and change nothing then", async () => {
    await here("context", "add", "one", "ssh://one");
    for (const [args, code] of [
      [["add", "one", "ssh://two"], 4],
      [["add", "local", "ssh://two"], 2],
      [["add", "-x", "ssh://two"], 2],
      [["add", "a/b", "ssh://two"], 2],
      [["add", "two", "ssh://-oProxyCommand=x"], 2],
      [["delete", "one", "two"], 3],
    ] as const) {
      expect((await here("context", ...args)).code, args.join(" ")).to.equal(code);
    }
    expect((await here("context", "list", "--format", "csv")).stdout).to.equal(
      "Name,Address\none,ssh://one\n",
    );
  });

  it("are asked for by name", async () => {
    await here("context", "add", "garage", "ssh://one");
    const { code, stderr } = await here("--host", "garege", "list");
    expect(code).to.equal(3);
    expect(stderr).to.contain('context "garege" does not exist').and.to.contain('Did you mean "garage"?');
  });
});

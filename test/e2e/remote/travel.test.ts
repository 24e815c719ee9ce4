import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { PROGRAM, strata } from "../../support/program.ts";
import { type FarHost, farHost } from "../../support/remote/far-host.ts";

/** Lists one running instance and one stopped one; runs what `exec` is given in a folder that is the guest's home. */
const GUESTS = `#!/bin/sh
case $1 in
list) echo '[{"name": "web", "state": "Running"}, {"name": "db", "state": "Stopped"}]' ;;
exec) cd "$HOME/guest" && HOME=$PWD && shift 4 && exec "$@" ;;
*) exit 1 ;;
esac
`;

/** Says what it was called with and what the files hold that it was given; then waits for a line if asked to. */
const FILES = `#!/bin/sh
for each; do
  case $each in
  *'#sha256='*) ;;
  *=/* | /*) file=/\${each#*/}; [ ! -f "$file" ] || printf "%s: %s\\n" "\${file##*/}" "$(head -c 20 "$file")" ;;
  esac
done
for each; do printf "<%s>" "$each" | sed "s|/[^>]*/travel/[^/]*/|TRAVEL/|"; done
echo
[ ! -p "$HOME/wait" ] || { echo waiting; read -r line <"$HOME/wait"; }
`;

describe("files of this host with a command for another", () => {
  let far: FarHost;
  let folder: string;
  before(async () => {
    far = await farHost();
    await writeFile(join(far.home, "bin/strata"), FILES);
    folder = join(far.folder, "files");
    await mkdir(folder);
    await writeFile(join(folder, "it's mine.qcow2"), "an image");
    await writeFile(join(folder, "user data"), "#cloud-config\n");
    await writeFile(join(folder, "empty.img"), "");
  });
  after(() => far[Symbol.asyncDispose]());

  const there = (...args: string[]) =>
    strata(["--host", far.address, ...args], { env: { ...far.env, HERE: "a value" }, cwd: folder });
  const travelling = () => far.there("cd .cache/strata/travel 2>/dev/null && ls -d */ 2>/dev/null || :");

  it("travel: images by path and URL, and cloud-init data", async () => {
    const { code, stdout, stderr } = await there(
      "launch",
      "-vn",
      "web",
      "./it's mine.qcow2",
      "--cloud-init=user data",
    );
    expect([code, stderr]).to.deep.equal([0, ""]);
    expect(stdout).to.equal(
      "it's mine.qcow2: an image\nuser-data: #cloud-config\n" +
        "<launch><-vn><web><TRAVEL/1/it's mine.qcow2><--cloud-init=TRAVEL/2/user-data>\n",
    );
    const url = await there("launch", `file://${folder}/empty.img#sha256=${"0".repeat(64)}`);
    expect(url.stdout).to.equal(`<launch><TRAVEL/1/empty.img#sha256=${"0".repeat(64)}>\n`);
    expect((await there("image", "import", "empty.img")).stdout).to.equal(
      "empty.img: \n<image><import><TRAVEL/1/empty.img>\n",
    );
    expect(await travelling()).to.equal("");
  });

  it("stay where they are if they are that host's own business", async () => {
    await symlink("/etc/passwd", join(folder, "debian"));
    for (const words of [
      ["launch", "debian", "--cloud-init", "https://example/data"],
      ["launch", "--cdrom", "/srv/it.iso", "--mount", "/srv"],
      ["image", "list"],
    ]) {
      const { code, stdout } = await there(...words);
      expect([code, stdout]).to.deep.equal([0, `${words.map((word) => `<${word}>`).join("")}\n`]);
    }
  });

  it("are needed here, or nothing is done", async () => {
    for (const words of [
      ["launch", "./nosuch.qcow2"],
      ["launch", "debian", "--cloud-init", "nosuch"],
    ]) {
      const { code, stdout, stderr } = await there(...words);
      expect([code, stdout]).to.deep.equal([3, ""]);
      expect(stderr).to.contain("nosuch").and.to.contain("does not exist");
    }
    expect((await there("launch", "./")).stderr).to.contain("it is not a file");
  });

  it("may be large, and arrive whole", async () => {
    await writeFile(join(folder, "large.raw"), "large");
    await truncate(join(folder, "large.raw"), 64 * 1024 * 1024);
    await writeFile(join(far.home, "bin/strata"), '#!/bin/sh\nsha256sum <"$3"; wc -c <"$3"\n');
    const { stdout } = await there("image", "import", "large.raw");
    await writeFile(join(far.home, "bin/strata"), FILES);
    const here = await execa("sh", ["-c", "sha256sum <large.raw; wc -c <large.raw"], { cwd: folder });
    expect(stdout.trim()).to.equal(here.stdout);
  });

  it("are removed there when this end is killed", async () => {
    await far.there("mkfifo wait");
    const child = spawn(process.execPath, [PROGRAM, "--host", far.address, "launch", "./it's mine.qcow2"], {
      env: far.env,
      cwd: folder,
    });
    for await (const chunk of child.stdout) {
      if (String(chunk).includes("waiting")) {
        break;
      }
    }
    expect(await travelling()).to.not.equal("");
    child.kill("SIGKILL");
    await once(child, "exit");
    // The keeper of the files holds this lock.
    await far.there(
      "for each in .cache/strata/travel/*/lock; do [ ! -e $each ] || flock $each true; done; rm wait",
    );
    expect(await travelling()).to.equal("");
  });

  it("are removed by the next command when their keeper was killed", async () => {
    await far.there("mkdir -p .cache/strata/travel/left/1; echo x >.cache/strata/travel/left/1/image");
    await there("image", "import", "empty.img");
    expect(await travelling()).to.equal("");
  });

  it("are not there for another command's end: each has its own", async () => {
    await far.there("mkfifo wait");
    const child = spawn(process.execPath, [PROGRAM, "--host", far.address, "launch", "./empty.img"], {
      env: far.env,
      cwd: folder,
    });
    let said = "";
    for await (const chunk of child.stdout) {
      said += chunk;
      if (said.includes("waiting")) {
        break;
      }
    }
    const mine = await travelling();
    await far.there("mv wait away");
    expect((await there("image", "import", "empty.img")).code).to.equal(0);
    expect(await travelling()).to.equal(mine);
    await far.there("mv away wait; echo >wait; rm wait");
    await once(child, "exit");
    expect(await travelling()).to.equal("");
  });

  it("may be variables: their values are those of this host", async () => {
    const { stdout } = await there("exec", "-e", "HERE", "--env=X=y", "web", "--", "env", "-e", "HERE");
    expect(stdout).to.equal("<exec><-e><HERE=a value><--env=X=y><web><--><env><-e><HERE>\n");
    const { code, stderr } = await there("exec", "-e", "NOSUCH", "web", "--", "env");
    expect(code).to.equal(2);
    expect(stderr).to.contain('invalid value "NOSUCH" for --env');
  });
});

describe("a transfer to and from the guests of another host", () => {
  let far: FarHost;
  let folder: string;
  beforeEach(async () => {
    far = await farHost();
    await writeFile(join(far.home, "bin/strata"), GUESTS);
    folder = join(far.folder, "files");
    await mkdir(join(folder, "site/deep"), { recursive: true });
    await mkdir(join(far.home, "guest"));
    await writeFile(join(folder, "site/deep/page one"), "one");
    await symlink("deep/page one", join(folder, "site/link"));
  });
  afterEach(() => far[Symbol.asyncDispose]());

  const transfer = (args: string[], input?: string) =>
    strata(["--host", far.address, "transfer", ...args], {
      env: far.env,
      cwd: folder,
      ...(input === undefined ? {} : { input }),
    });

  it("takes folders there and back", async () => {
    expect(await transfer(["--recursive", "site", "web:"])).to.deep.equal({
      code: 0,
      stdout: "",
      stderr: "",
    });
    expect(await readFile(join(far.home, "guest/site/link"), "utf8")).to.equal("one");
    expect((await transfer(["-r", "web:site", "back"])).code).to.equal(0);
    const { stdout } = await execa("diff", ["-r", "site", "back"], { cwd: folder });
    expect(stdout).to.equal("");
    expect(await far.there("ls .cache/strata/travel 2>/dev/null || :")).to.equal("");
  });

  it("takes streams there and back", async () => {
    const input = "x".repeat(3_000_000);
    expect((await transfer(["-", "web:stream"], input)).code).to.equal(0);
    expect((await transfer(["web:stream", "-"])).stdout).to.equal(input);
  });

  it("needs the instance to be there and to run", async () => {
    for (const [name, code] of [
      ["wab", 3],
      ["db", 5],
    ] as const) {
      const ended = await transfer(["site/deep/page one", `${name}:`]);
      expect(ended.code, name).to.equal(code);
      expect(ended.stderr).to.contain(`"${name}"`);
    }
  });

  it("says what the guest says", async () => {
    const { code, stderr } = await transfer(["web:nosuch", "."]);
    expect(code).to.equal(3);
    expect(stderr).to.contain('file "web:nosuch" does not exist');
  });

  it("writes nothing outside its destination, whatever the other host sends", async () => {
    const script = `#!/bin/sh
case $1 in
list) echo '[{"name": "web", "state": "Running"}]' ;;
*) mkdir -p "$HOME/tree"; echo >"$HOME/tree/evil"; tar -cPf - --transform 's|evil|../escaped|' -C "$HOME/tree" . ;;
esac
`;
    await writeFile(join(far.home, "bin/strata"), script);
    await mkdir(join(folder, "into"));
    const { code, stderr } = await transfer(["-r", "web:x", "into/"]);
    expect(code).to.equal(12);
    expect(stderr).to.contain("outside the requested path");
    const { stdout } = await execa("find", [folder, "-name", "*escaped*"]);
    expect(stdout).to.equal("");
  });

  it("fails if what the other host prints is no list", async () => {
    for (const printed of ["", "{}", "[1", "[7]"]) {
      await writeFile(join(far.home, "bin/strata"), `#!/bin/sh\necho '${printed}'\n`);
      const { code, stderr } = await transfer(["site/deep/page one", "web:"]);
      expect(code, printed).to.equal(1);
      expect(stderr).to.contain("it printed no list");
    }
  });
});

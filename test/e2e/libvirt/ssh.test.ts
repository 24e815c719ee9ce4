import { randomBytes } from "node:crypto";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { done, guestImage, PROGRAM, strata } from "../../support/program.ts";

const NAME = `strata-test-ssh-${process.pid}`;

/** What is built on ssh, by programs of this host, with a guest that runs. */
describe("ssh, scp and rsync to a real guest", () => {
  let folder: string;
  let config: string;
  const ssh = (...argv: string[]) => execa("ssh", ["-F", config, ...argv], { reject: false });
  const inside = async (...argv: string[]) => (await done(["exec", NAME, "--", ...argv])).trim();
  before(async () => {
    await guestImage();
    folder = await mkdtemp(join(tmpdir(), "strata-ssh-"));
    config = join(folder, "config");
    await done(["launch", "debian-micro", "--name", NAME, "--memory", "384M"]);
    await writeFile(config, await done(["ssh-config", NAME]));
  });
  after(async () => {
    await strata(["delete", "--purge", NAME]);
    await rm(folder, { recursive: true, force: true });
  });

  it("log in as strata does, and ask nothing", async () => {
    const { stdout, stderr, exitCode } = await ssh(
      "-o",
      "BatchMode=yes",
      `${NAME}.strata`,
      "hostname; id -un",
    );
    expect([stdout, stderr, exitCode]).to.deep.equal([`${NAME}\nubuntu`, "", 0]);
  });

  it("refuse a guest that shows another host key", async () => {
    const text = await readFile(config, "utf8");
    const [, known = ""] = /UserKnownHostsFile (.*)/.exec(text) ?? [];
    const other = join(folder, "known_hosts");
    const key = `AAAAC3NzaC1lZDI1NTE5AAAAI${"A".repeat(43)}`;
    await writeFile(other, (await readFile(known, "utf8")).replace(/AAAAC3\S+/g, key));
    const { exitCode, stderr } = await ssh("-o", `UserKnownHostsFile=${other}`, `${NAME}.strata`, "true");
    expect(exitCode).to.equal(255);
    expect(stderr).to.contain("Host key verification failed");
  });

  it("copy files with scp, there and back", async () => {
    const blob = join(folder, "blob");
    await writeFile(blob, randomBytes(3_000_000));
    // The micro guest has no sftp.
    await execa("scp", ["-O", "-F", config, blob, `${NAME}.strata:blob`]);
    await execa("scp", ["-O", "-F", config, `${NAME}.strata:blob`, `${blob}-back`]);
    expect((await readFile(blob)).equals(await readFile(`${blob}-back`))).to.equal(true);
  });

  it("copy folders with rsync", async () => {
    // The micro guest has none; this host's runs there with its libraries beside it.
    const { stdout } = await execa("ldd", ["/usr/bin/rsync"]);
    const libraries = [...stdout.matchAll(/=> (\/\S+)/g)].map(([, path = ""]) => path);
    await done(["transfer", "--parents", "/usr/bin/rsync", ...libraries, `${NAME}:rsync/`]);
    const script = join(folder, "run-rsync");
    await writeFile(script, '#!/bin/sh\nLD_LIBRARY_PATH=$HOME/rsync exec $HOME/rsync/rsync "$@"\n');
    await chmod(script, 0o755);
    await done(["transfer", script, `${NAME}:run-rsync`]);
    await writeFile(join(folder, "a b"), "one");
    const remote = ["--rsync-path", "./run-rsync", "-e", `ssh -F ${config}`];
    await execa("rsync", ["-a", ...remote, join(folder, "a b"), config, `${NAME}.strata:site/`]);
    expect(await inside("cat", "site/a b")).to.equal("one");
    expect(await inside("ls", "site")).to.equal("a b\nconfig");
  });

  it("serve Ansible, by an inventory that is a program", async function () {
    const { exitCode } = await execa("ansible", ["--version"], { reject: false });
    if (exitCode !== 0) {
      this.skip();
    }
    const inventory = join(folder, "instances");
    await writeFile(inventory, `#!/bin/sh\nexec ${process.execPath} ${PROGRAM} inventory "$@"\n`, {
      mode: 0o755,
    });
    const module = ["-m", "command", "-a", "hostname"];
    const env = {
      ANSIBLE_HOME: folder,
      ANSIBLE_LOAD_CALLBACK_PLUGINS: "1",
      ANSIBLE_STDOUT_CALLBACK: "oneline",
    };
    const { stdout } = await execa("ansible", ["-i", inventory, NAME, ...module], { env });
    expect(stdout).to.equal(`${NAME} | CHANGED | rc=0 | (stdout) ${NAME}`);
    const listed = await execa("ansible", ["-i", inventory, "strata", "--list-hosts"], { env });
    expect(listed.stdout).to.contain(NAME);
  });

  it("find it in the user's own configuration once that includes strata's, until it is purged", async () => {
    const env = { HOME: folder, XDG_CACHE_HOME: process.env.XDG_CACHE_HOME ?? `${process.env.HOME}/.cache` };
    const data = { XDG_DATA_HOME: process.env.XDG_DATA_HOME ?? `${process.env.HOME}/.local/share` };
    const own = { env: { ...env, ...data } };
    expect(await done(["ssh-config", "--include"], own)).to.equal(
      `Included: ${join(folder, ".ssh/config.d/strata")}\n`,
    );
    const by = ["-F", join(folder, ".ssh/config"), "-o", "BatchMode=yes", `${NAME}.strata`, "hostname"];
    expect((await execa("ssh", by)).stdout).to.equal(NAME);
    await done(["restart", NAME], own);
    expect((await execa("ssh", by)).stdout).to.equal(NAME);
    await done(["stop", NAME], own);
    await done(["ssh-config", "--remove"], own);
    expect(await readFile(join(folder, ".ssh/config"), "utf8")).to.equal("");
    await done(["start", NAME]);
  });
});

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { clearLeftovers } from "../../support/leftovers.ts";
import { guestImage, PROGRAM, strata } from "../../support/program.ts";
import { type FarHost, farHost } from "../../support/remote/far-host.ts";

const NAME = `strata-test-remote-${process.pid}`;

describe("a guest of another host", () => {
  let far: FarHost;
  const there = (args: readonly string[], input?: string) =>
    strata(["--host", far.address, ...args], {
      env: far.env,
      cwd: far.folder,
      ...(input === undefined ? {} : { input }),
    });
  before(async () => {
    await clearLeftovers();
    const { path } = await guestImage();
    far = await farHost({});
    await execa("cp", [path, join(far.folder, "guest.qcow2")]);
    await writeFile(join(far.folder, "user-data"), "#!/bin/sh\necho from here >/root/user-data\n");
  });
  after(async () => {
    await there(["delete", "--purge", NAME]);
    await far[Symbol.asyncDispose]();
  });

  it("is launched from an image and user-data of this host", async () => {
    const launch = ["launch", "./guest.qcow2", "--name", NAME, "-m", "512M", "--cloud-init", "user-data"];
    const { code, stdout, stderr } = await there(launch);
    expect([code, stdout], stderr).to.deep.equal([0, `Launched: ${NAME}\n`]);
    const { stdout: said } = await there(["exec", NAME, "--user", "root", "--", "cat", "/root/user-data"]);
    expect(said).to.equal("from here\n");
  });

  it("runs commands with input, output and exit code, and gets and gives files", async () => {
    const ended = await there(["exec", NAME, "--", "sh", "-c", "cat; echo said >&2; exit 7"], "input");
    expect(ended).to.deep.equal({ code: 7, stdout: "input", stderr: "said\n" });
    await writeFile(join(far.folder, "a file"), "contents\n".repeat(10_000));
    expect((await there(["transfer", "a file", `${NAME}:`])).code).to.equal(0);
    expect((await there(["transfer", `${NAME}:a file`, "back"])).code).to.equal(0);
    expect(await readFile(join(far.folder, "back"), "utf8")).to.equal("contents\n".repeat(10_000));
  });

  it("has a shell on this terminal", async () => {
    const command = `'${process.execPath}' '${PROGRAM}' --host ${far.address} shell ${NAME}`;
    const { stdout, exitCode } = await execa("script", ["-qefc", command, "/dev/null"], {
      env: far.env,
      input: "tty; exit 5\n",
      reject: false,
    });
    expect(stdout).to.contain("/dev/pts/");
    expect(exitCode).to.equal(5);
  });
});

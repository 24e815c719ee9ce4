import { chmod, mkdir, realpath, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { execa } from "execa";
import { makeHome } from "../../support/plugin.ts";
import { guestImage, PROGRAM, strata } from "../../support/program.ts";

const SCRIPT = fileURLToPath(new URL("../../fixtures/reference-script.sh", import.meta.url));
const NAME = `strata-test-script-${process.pid}`;

describe("a script for the reference CLI", () => {
  before(async function () {
    const jq = await execa("jq", ["--version"], { reject: false });
    if (jq.failed) {
      return this.skip();
    }
    await guestImage();
  });
  after(async () => {
    for (const name of [NAME, `${NAME}-copy`]) {
      await strata(["delete", "--purge", name]);
    }
  });

  it("runs unchanged but for the command's name", async () => {
    await using home = await makeHome();
    const [bin, share] = [join(home.path, "bin"), join(home.path, "share")];
    await mkdir(bin);
    await mkdir(share);
    // The launcher of a mount enters the folder as root, who reads it; the guest's user does as the caller.
    await chmod(home.path, 0o755);
    await symlink(process.execPath, join(bin, "node"));
    await writeFile(join(bin, "strata"), `#!/bin/sh\nexec node ${PROGRAM} "$@"\n`, { mode: 0o755 });
    const { XDG_CACHE_HOME: _, ...own } = home.env;
    const env = { ...own, PATH: `${bin}:${process.env.PATH}` };
    const { all, exitCode } = await execa("bash", [SCRIPT, NAME, "debian-micro", await realpath(share)], {
      env,
      all: true,
      reject: false,
      stdin: "ignore",
    });
    expect(exitCode, all).to.equal(0);
  });
});

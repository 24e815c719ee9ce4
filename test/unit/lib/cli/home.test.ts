import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { createLog } from "../../../../lib/cli/log.ts";
import { logFile } from "../../../../lib/cli/log-file.ts";
import { type CliRoom, cliRoom } from "../../../support/cli.ts";

const XDG = { config: ".config", data: ".local/share", cache: ".cache", state: ".local/state" } as const;

describe("a home that cannot be used", () => {
  let at: CliRoom;
  beforeEach(async () => {
    at = await cliRoom();
  });
  afterEach(() => at[Symbol.asyncDispose]());

  /** Has a file in the place of one of strata's folders, which not even root can write to. */
  const block = async (which: keyof typeof XDG) => {
    const path = join(at.folder, XDG[which]);
    await rm(path, { recursive: true, force: true });
    await mkdir(join(path, ".."), { recursive: true });
    await writeFile(path, "");
  };
  const refused = async (path: string, ...args: string[]) => {
    const { code, stderr } = await at.strata(...args);
    expect({ args, code }, stderr).to.deep.equal({ args, code: 8 });
    expect(stderr).to.contain(`strata cannot use ${join(at.folder, path)}: not a directory`);
    expect(stderr).to.contain("XDG_CONFIG_HOME");
  };

  it("is told with what to do by the commands that write settings and aliases", async () => {
    await at.done("launch", "any", "-n", "web");
    await block("config");
    await refused(".config/strata/settings.json", "set", "client.primary-name=web");
    await refused(".config/strata/aliases.json", "alias", "web:uname");
    await refused(".config/strata/aliases.json", "prefer", "work");
  });

  it("is told before anything is made by the commands that need a key or an image", async () => {
    await block("data");
    await refused(".local/share/strata/ssh/id_ed25519", "launch", "any", "-n", "web");
  });

  it("keeps no command from working that needs nothing from it", async () => {
    for (const which of ["config", "cache", "state"] as const) {
      await block(which);
    }
    await at.done("launch", "any", "-n", "web");
    await at.done("stop", "web");
    await at.done("snapshot", "web", "--name", "a");
    await at.done("restore", "--destructive", "web.a");
    expect(await at.done("list", "--snapshots")).to.contain("web        a");
    await at.done("delete", "--purge", "web");
    expect(await at.done("get", "local.driver")).to.equal("libvirt\n");
    for (const command of ["aliases", "image list", "plugins", "help", "version"]) {
      await at.done(...command.split(" "));
    }
  });

  it("does not make a purge fail that was carried out", async () => {
    await at.done("launch", "any", "-n", "web");
    await at.done("alias", "web:uname");
    const lock = join(at.folder, XDG.config, "strata/aliases.json.lock");
    await rm(lock);
    await mkdir(lock);
    const { code, stderr } = await at.strata("delete", "--purge", "web");
    expect(code, stderr).to.equal(0);
    expect(stderr).to.contain("aliases of web may remain");
    expect(await at.done("list")).to.equal("No instances found.\n");
  });
});

describe("the log", () => {
  it("is put aside when it is large, twice at most", async () => {
    const folder = await mkdtemp(join(tmpdir(), "strata-log-"));
    try {
      for (const text of ["first", "second", "third", "fourth"]) {
        const file = logFile(folder, (error) => expect.fail(String(error)));
        await new Promise((resolve) => file.write(text, resolve));
        await truncate(join(folder, "strata.log"), 5 * 1024 * 1024);
      }
      await Promise.all(
        Object.entries({ "strata.log": "fourth", "strata1.log": "third", "strata2.log": "second" }).map(
          async ([name, text]) => {
            const path = join(folder, name);
            const found = (await readFile(path)).toString("latin1", 0, text.length);
            expect([name, found, (await stat(path)).mode & 0o777]).to.deep.equal([name, text, 0o600]);
          },
        ),
      );
      expect(await readdir(folder)).to.have.length(3);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe("a log that cannot be written", () => {
  it("is told of once, and neither ends nor keeps the process", async () => {
    const folder = await mkdtemp(join(tmpdir(), "strata-log-"));
    try {
      // The folder is there, and what is in the place of the file cannot be opened.
      await mkdir(join(folder, "strata.log"));
      const lines: string[] = [];
      {
        await using log = createLog(folder, 0, (text) => lines.push(text));
        log.warn("first");
        log.warn("second");
      }
      expect(lines.join("")).to.contain("first").and.to.contain("second");
      expect(lines.filter((line) => line.includes("there is no log file"))).to.have.length(1);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe("what strata makes", () => {
  const MAIN = new URL("../../../../bin/main.ts", import.meta.url).pathname;

  /** Everything below a folder with its mode. */
  async function modesIn(folder: string): Promise<Record<string, string>> {
    const found: Record<string, string> = {};
    for (const entry of await readdir(folder, { recursive: true })) {
      found[entry] = ((await stat(join(folder, entry))).mode & 0o777).toString(8);
    }
    return found;
  }

  it("has the modes that are meant, whatever the umask", async () => {
    const home = await mkdtemp(join(tmpdir(), "strata-umask-"));
    try {
      const run = (umask: string, ...args: string[]) =>
        execa(
          "sh",
          ["-c", `umask ${umask}; exec "$@"`, "sh", process.execPath, "--import", "tsx", MAIN, ...args],
          {
            env: { HOME: home, STRATA_DRIVER: "memory" },
          },
        );
      await run("0777", "launch", "any", "-n", "web");
      await run("0777", "set", "client.primary-name=web");
      await run("0777", "alias", "web:uname");
      const modes = await modesIn(home);
      for (const [path, mode] of Object.entries(modes)) {
        const folder = (await stat(join(home, path))).isDirectory();
        const script = path.startsWith(".local/share/strata/bin/");
        expect(mode, path).to.equal(folder || script ? "700" : "600");
      }
      expect(Object.keys(modes)).to.include.members([
        ".config/strata/settings.json",
        ".config/strata/aliases.json.lock",
        ".local/share/strata/ssh/id_ed25519",
        ".local/share/strata/bin/uname",
      ]);
    } finally {
      await chmod(home, 0o700);
      await rm(home, { recursive: true, force: true });
    }
  }).timeout(60_000);
});

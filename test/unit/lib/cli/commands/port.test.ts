import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { readUnit, unitText } from "../../../../../lib/cli/kept-port.ts";
import { type CliRoom, cliRoom } from "../../../../support/cli.ts";
import { type SshRoom, sshRoom } from "../../../../support/guest/ssh-room.ts";

describe("ports that systemd keeps", () => {
  let guests: SshRoom;
  let at: CliRoom;
  let path: string | undefined;
  const units = () => join(at.folder, ".config/systemd/user");
  const asked = async () => (await readFile(join(at.folder, "asked"), "utf8").catch(() => "")).split("\n");
  const systemctl = async (ending: string) => {
    await writeFile(
      join(at.folder, "bin/systemctl"),
      `#!/bin/sh\necho "$@" >> ${at.folder}/asked\n${ending}\n`,
    );
    await chmod(join(at.folder, "bin/systemctl"), 0o755);
  };
  beforeEach(async () => {
    guests = await sshRoom();
    await guests.strata.instances.launch({ image: "any", name: "web" });
    at = await cliRoom(async () => guests.strata);
    await mkdir(join(at.folder, "bin"));
    await systemctl("exit 0");
    path = process.env.PATH;
    process.env.PATH = `${join(at.folder, "bin")}:${path}`;
  });
  afterEach(async () => {
    process.env.PATH = path;
    await at[Symbol.asyncDispose]();
    await guests[Symbol.asyncDispose]();
  });

  it("have a unit of the user's each, which is started, listed and taken away", async () => {
    expect(await at.done("port", "forward", "web", "18080:80", "18081:81", "--keep")).to.equal(
      "Kept: 127.0.0.1:18080 to web:80\nKept: 127.0.0.1:18081 to web:81\n",
    );
    expect(await readdir(units())).to.have.members([
      "strata-port-18080.service",
      "strata-port-18081.service",
    ]);
    expect((await stat(join(units(), "strata-port-18080.service"))).mode & 0o777).to.equal(0o600);
    expect((await asked()).slice(0, 3)).to.deep.equal([
      "--user daemon-reload",
      "--user enable strata-port-18080.service",
      "--user restart strata-port-18080.service",
    ]);
    const { ports } = JSON.parse(await at.done("port", "list", "--format", "json"));
    expect(ports).to.deep.equal([
      { instance: "web", address: "127.0.0.1", port: 18080, to: 80 },
      { instance: "web", address: "127.0.0.1", port: 18081, to: 81 },
    ]);
    await at.done("port", "delete", "web", "18080");
    expect(await readdir(units())).to.deep.equal(["strata-port-18081.service"]);
    expect(await asked()).to.include("--user disable --now strata-port-18080.service");
    await at.done("port", "delete", "web");
    expect(await at.done("port", "list")).to.equal("No forwarded ports are kept.\n");
  });

  it("leave nothing where systemd cannot be reached", async () => {
    await systemctl("echo 'Failed to connect to bus' >&2; exit 1");
    const { code, stderr } = await at.strata("port", "forward", "web", "18080:80", "--keep");
    expect([code, stderr]).to.deep.equal([1, "strata: systemctl failed: Failed to connect to bus\n"]);
    expect(await readdir(units())).to.deep.equal([]);
  });

  it("are refused before anything is written: of no instance, any free port, a unit of somebody else's", async () => {
    expect((await at.strata("port", "forward", "none", "18080:80", "--keep")).code).to.equal(3);
    expect((await at.strata("port", "forward", "web", "0:80", "--keep")).code).to.equal(2);
    expect((await at.strata("port", "delete", "web")).code).to.equal(2);
    expect(await asked()).to.deep.equal([""]);
    await mkdir(units(), { recursive: true });
    const theirs = join(units(), "strata-port-18080.service");
    await writeFile(theirs, "[Service]\n");
    expect((await at.strata("port", "forward", "web", "18080:80", "--keep")).code).to.equal(4);
    expect(await readFile(theirs, "utf8")).to.equal("[Service]\n");
    expect(await at.done("port", "list")).to.equal("No forwarded ports are kept.\n");
    await rm(theirs);
  });

  it("have units that systemd itself takes, whatever is in paths and variables", async function () {
    const verify = await execa("systemd-analyze", ["--version"], { reject: false });
    if (verify.exitCode !== 0) {
      this.skip();
    }
    const kept = { instance: "web", address: "127.0.0.1", port: 18080, to: 80 };
    const file = join(at.folder, "strata-port-18080.service");
    const text = unitText(kept, ["/bin/echo", "a b", "50%", "$HOME", 'it"s', "back\\slash"], {
      HOME: "/home/a b%",
      STRATA_DRIVER: "libvirt",
      SECRET: "no",
    });
    await writeFile(file, text);
    expect(text).not.to.contain("SECRET");
    expect(readUnit(text)).to.deep.equal(kept);
    const { exitCode, stderr } = await execa("systemd-analyze", ["verify", "--user", file], {
      reject: false,
      env: { XDG_RUNTIME_DIR: at.folder, HOME: at.folder },
    });
    const ours = stderr.split("\n").filter((line) => line.includes("strata-port"));
    expect([exitCode, ours]).to.deep.equal([0, []]);
  });
}).timeout(20_000);

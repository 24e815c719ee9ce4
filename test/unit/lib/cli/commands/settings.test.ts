import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { engineNamed } from "../../../../../lib/engine/registry.ts";
import { type CliRoom, cliRoom } from "../../../../support/cli.ts";

describe("settings", () => {
  let at: CliRoom;
  const path = () => join(at.folder, ".config/strata/settings.json");
  const refused = async (code: number, message: string, ...args: string[]) => {
    const ended = await at.strata(...args);
    expect(ended.code, `${args.join(" ")}: ${ended.stderr}`).to.equal(code);
    expect(ended.stderr).to.contain(message);
  };
  beforeEach(async () => {
    at = await cliRoom();
  });
  afterEach(() => at[Symbol.asyncDispose]());

  it("are listed as they are now, and every one that is listed can be read", async () => {
    await at.done("launch", "any", "-n", "web");
    await at.done("stop", "web");
    await at.done("snapshot", "web", "-n", "clean");
    const keys = (await at.done("get", "--keys")).trim().split("\n");
    expect(keys).to.include.members([
      "client.primary-name",
      "local.bridged-network",
      "local.driver",
      "local.memory.persist",
      "local.privileged-mounts",
      "local.web.bridged",
      "local.web.clean.comment",
      "local.web.clean.name",
      "local.web.cpus",
      "local.web.disk",
      "local.web.memory",
    ]);
    for (const key of keys) {
      await at.done("get", key);
    }
    expect(await at.done("get", "local.bridged-network")).to.equal("<empty>\n");
    expect(await at.done("get", "--raw", "local.bridged-network")).to.equal("\n");
  });

  it("that are unknown are told so, and change nothing of the same request", async () => {
    for (const key of [
      "nope",
      "client.nope",
      "local.nope",
      "local.web.nope.x",
      "constructor",
      "local.passphrase.x",
    ]) {
      await refused(2, `Unrecognized settings key: '${key}'`, "get", key);
      await refused(2, `Unrecognized settings key: '${key}'`, "set", "client.primary-name=other", `${key}=1`);
    }
    expect(await at.done("get", "client.primary-name")).to.equal("primary\n");
    await refused(3, 'instance "web" does not exist', "get", "local.web.cpus");
    await refused(2, "give a key", "get");
  });

  it("refuse a wrong value and say which are right", async () => {
    await refused(2, "must be true or false", "set", "local.privileged-mounts=maybe");
    await refused(2, "invalid instance name", "set", "client.primary-name=not/a/name");
    await refused(2, "libvirt", "set", "local.driver=nothing");
    await refused(11, "strata has no passphrase", "set", "local.passphrase=secret");
    await at.done("launch", "any", "-n", "web");
    await refused(5, 'Only stopped instances can be resized: "web" is Running', "set", "local.web.cpus=2");
    await at.done("stop", "web");
    for (const value of ["0", "x", "1.5", "4096"]) {
      await refused(2, "cpus", "set", `local.web.cpus=${value}`);
    }
    await refused(2, "invalid memory size", "set", "local.web.memory=lots");
    await refused(2, "minimum of 128M", "set", "local.web.memory=1M");
    expect(await at.done("get", "local.web.cpus")).to.equal("1\n");
  });

  it("do not change the engine while it has running instances", async () => {
    await mkdir(join(at.folder, ".config/strata"), { recursive: true });
    await writeFile(path(), '{"local.driver":"memory"}');
    await at.done("launch", "any", "-n", "web");
    await at.done("set", "local.driver=memory");
    const reason = "memory has running instances; stop them first";
    await refused(2, reason, "set", "local.driver=libvirt");
    // The engine of one command is not the one that is set.
    await refused(2, reason, "--driver", "libvirt", "set", "local.driver=libvirt");
    await at.done("stop", "web");
    await at.done("set", "local.driver=libvirt");
    await at.done("start", "web");
    await at.done("set", "local.driver=libvirt");
    expect(await at.done("get", "local.driver")).to.equal("libvirt\n");
  });

  it("know libvirt by the reference CLI's name for it", async () => {
    await mkdir(join(at.folder, ".config/strata"), { recursive: true });
    await writeFile(path(), '{"local.driver":"memory"}');
    await at.done("set", "local.driver=qemu");
    expect(await at.done("get", "local.driver")).to.equal("libvirt\n");
    expect([engineNamed("qemu"), engineNamed("lxd")]).to.deep.equal(["libvirt", "lxd"]);
  });

  it("without a value are asked for on a terminal, and refused elsewhere", async () => {
    const { code, stdout } = await at.onTerminal("desk\r", "set", "client.primary-name");
    expect([code, stdout.includes("client.primary-name:")]).to.deep.equal([0, true]);
    expect(await at.done("get", "client.primary-name")).to.equal("desk\n");
    await refused(
      2,
      "set requires KEY=VALUE when there is no terminal to prompt on",
      "set",
      "client.primary-name",
    );
    const secret = await at.onTerminal("hunter2\r", "set", "local.passphrase");
    expect(secret.code).to.equal(11);
    expect(secret.stdout).to.equal("");
  });

  it("switch mounts off", async () => {
    await at.done("launch", "any", "-n", "web");
    for (const off of ["off", "no", "0", "FALSE"]) {
      await at.done("set", "local.privileged-mounts=true");
      await at.done("set", `local.privileged-mounts=${off}`);
      expect(await at.done("get", "local.privileged-mounts"), off).to.equal("false\n");
    }
    for (const on of ["on", "yes", "1", "True"]) {
      await at.done("set", "local.privileged-mounts=false");
      await at.done("set", `local.privileged-mounts=${on}`);
      expect(await at.done("get", "local.privileged-mounts"), on).to.equal("true\n");
    }
    await at.done("set", "local.privileged-mounts=false");
    expect((await at.strata("mount", at.folder, "web")).stderr).to.contain("local.privileged-mounts");
    await at.done("set", "local.privileged-mounts=true");
    await at.done("mount", at.folder, "web");
  });

  it("are kept in a file of mode 0600, and one that is broken is told and not overwritten", async () => {
    await at.done("set", "client.primary-name=desk");
    expect((await stat(path())).mode & 0o777).to.equal(0o600);
    expect((await stat(join(at.folder, ".config/strata"))).mode & 0o777).to.equal(0o700);
    for (const broken of ["{", "[]", '{"client.primary-name":1}', "null", ""]) {
      await writeFile(path(), broken);
      await refused(2, "settings file", "set", "client.primary-name=other");
      await refused(2, "settings file", "list");
      expect(await readFile(path(), "utf8")).to.equal(broken);
    }
  });

  it("log to a file of the user alone", async () => {
    await mkdir(join(at.folder, ".local/state/strata"), { recursive: true, mode: 0o755 });
    await mkdir(join(at.folder, ".local/share/strata/bin"), { recursive: true });
    await writeFile(join(at.folder, ".local/share/strata/bin/say"), "not ours");
    await at.done("launch", "any", "-n", "web");
    await at.done("alias", "web:echo", "say");
    const folder = join(at.folder, ".local/state/strata");
    expect((await stat(folder)).mode & 0o777).to.equal(0o700);
    expect((await stat(join(folder, "strata.log"))).mode & 0o777).to.equal(0o600);
    expect(await readFile(join(folder, "strata.log"), "utf8")).to.contain(
      'no script was written for \\"say\\"',
    );

    it("have the host start an instance, until it is told not to or the instance is deleted", async () => {
      await at.done("launch", "any", "--name", "web");
      const key = "local.web.autostart";
      expect(await at.done("get", "--keys")).to.contain(`${key}\n`);
      expect(await at.done("get", key)).to.equal("false\n");
      await at.done("set", `${key}=on`);
      expect(await at.done("get", key)).to.equal("true\n");
      const { code, stderr } = await at.strata("set", `${key}=maybe`);
      expect([code, stderr]).to.satisfy(
        () => code === 2 && stderr.includes('invalid value "maybe" for autostart'),
      );
      await at.done("delete", "web");
      await at.done("recover", "web");
      expect(await at.done("get", key)).to.equal("false\n");
      expect((await at.strata("get", "local.none.autostart")).code).to.equal(3);
    });
  });
}).timeout(20_000);

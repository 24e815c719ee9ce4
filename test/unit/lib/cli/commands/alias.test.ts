import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { type CliRoom, cliRoom } from "../../../../support/cli.ts";

describe("aliases", () => {
  let at: CliRoom;
  const bin = () => join(at.folder, ".local/share/strata/bin");
  const names = async () =>
    (await at.done("aliases", "--format", "csv"))
      .trim()
      .split("\n")
      .slice(1)
      .map((line) => line.split(",").slice(0, 3).join(" "));
  beforeEach(async () => {
    at = await cliRoom();
    for (const name of ["web", "db"]) {
      await at.done("launch", "any", "--name", name);
    }
  });
  afterEach(() => at[Symbol.asyncDispose]());

  it("run a command in their instance, with all that follows as it is", async () => {
    await at.done("alias", "web:echo", "say");
    expect(await at.done("say", "--help", "-n", "two words", "--", "x")).to.equal(
      "--help -n two words -- x\n",
    );
    expect(await at.done("say", "--", "-v")).to.equal("-v\n");
    expect(await at.done("--driver", "memory", "say", "a")).to.equal("a\n");
    await at.done("alias", "web:false");
    expect((await at.strata("false")).code).to.equal(1);
  });

  it("are named after their command, once in a context, and never like a command of ours", async () => {
    await at.done("alias", "web:/usr/bin/top");
    expect(await names()).to.deep.equal(["top web /usr/bin/top"]);
    const { code, stderr } = await at.strata("alias", "db:top");
    expect(code).to.equal(4);
    expect(stderr).to.contain('alias "top" already exists in context "default"');
    for (const command of ["list", "ls", "help", "exec"]) {
      const refused = await at.strata("alias", `web:/usr/bin/${command}`);
      expect(refused.code, command).to.equal(2);
      expect(refused.stderr).to.contain("must not be a command of strata");
    }
    for (const bad of ["../x", "-x", ".x", "a/b", ""]) {
      expect((await at.strata("alias", "web:top", "--", bad)).code, bad).to.equal(2);
    }
    expect((await at.strata("alias", "nobody:top", "other")).code).to.equal(3);
    expect(await names()).to.deep.equal(["top web /usr/bin/top"]);
  });

  it("belong to a context; the active one goes before, others are named", async () => {
    await at.done("alias", "web:echo", "say");
    await at.done("prefer", "work");
    await at.done("alias", "db:nproc", "say");
    expect(await at.done("say", "hello")).to.equal("1\n");
    expect(await at.done("default.say", "hello")).to.equal("hello\n");
    expect(await at.done("aliases")).to.contain("work*");
    await at.done("unalias", "default.say");
    expect(await names()).to.deep.equal(["say db nproc"]);
    expect((await at.strata("default.say")).code).to.equal(2);
  });

  it("are removed all or none, and with --all those of the active context", async () => {
    await at.done("alias", "web:echo", "a");
    await at.done("alias", "web:echo", "b");
    const { code, stderr } = await at.strata("unalias", "a", "none");
    expect(code).to.equal(3);
    expect(stderr).to.contain('alias "none" does not exist');
    expect(await names()).to.have.length(2);
    await at.done("prefer", "work");
    await at.done("alias", "web:echo", "c");
    await at.done("unalias", "--all");
    expect(await names()).to.deep.equal(["a web echo", "b web echo"]);
    expect((await at.strata("unalias")).code).to.equal(2);
  });

  it("have scripts that hand on their arguments, and follow the active context", async () => {
    await at.done("alias", "web:echo", "say");
    expect((await readdir(bin())).sort()).to.deep.equal(["default.say", "say"]);
    expect((await stat(join(bin(), "say"))).mode & 0o777).to.equal(0o700);
    const tools = join(at.folder, "tools");
    await mkdir(tools);
    await writeFile(join(tools, "strata"), '#!/bin/sh\nprintf "%s|" "$@"\n', { mode: 0o755 });
    const env = { PATH: `${tools}:${process.env.PATH}` };
    expect((await execa(join(bin(), "say"), ["a b", "$HOME", ""], { env })).stdout).to.equal(
      "say|a b|$HOME||",
    );
    await at.done("prefer", "work");
    expect(await readdir(bin())).to.deep.equal(["default.say"]);
    await at.done("prefer", "default");
    await at.done("unalias", "say");
    expect(await readdir(bin())).to.deep.equal([]);
  });

  it("leave files alone that are not their scripts", async () => {
    await mkdir(bin(), { recursive: true });
    await writeFile(join(bin(), "say"), "mine");
    const { stderr } = await at.strata("alias", "web:echo", "say");
    expect(stderr).to.contain('no script was written for "say"');
    await at.done("unalias", "say");
    expect(await readFile(join(bin(), "say"), "utf8")).to.equal("mine");
  });

  it("go with their instance when that is purged, not when it is deleted", async () => {
    await at.done("alias", "web:echo", "a");
    await at.done("alias", "db:echo", "b");
    await at.done("delete", "web", "db");
    expect(await names()).to.have.length(2);
    await at.done("recover", "db");
    await at.done("purge");
    expect(await names()).to.deep.equal(["b db echo"]);
    await at.done("delete", "--purge", "db");
    expect(await names()).to.deep.equal([]);
    expect(await readdir(bin())).to.deep.equal([]);
  });

  it("are kept in a file of mode 0600, and a broken one is told and not overwritten", async () => {
    const path = join(at.folder, ".config/strata/aliases.json");
    await at.done("alias", "web:echo", "a");
    expect((await stat(path)).mode & 0o777).to.equal(0o600);
    for (const broken of [
      "{",
      "[]",
      '{"active":1,"contexts":{}}',
      '{"active":"a","contexts":{"a":{"b":{}}}}',
    ]) {
      await writeFile(path, broken);
      for (const args of [["aliases"], ["alias", "web:echo", "b"], ["a"]]) {
        const { code, stderr } = await at.strata(...args);
        expect(code).to.equal(2);
        expect(stderr).to.contain("aliases.json");
      }
      expect(await readFile(path, "utf8")).to.equal(broken);
    }
  });
});

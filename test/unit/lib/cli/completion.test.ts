import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { type CliRoom, cliRoom } from "../../../support/cli.ts";
import { transferRoom } from "../../../support/guest/transfer-room.ts";

describe("completion", () => {
  let at: CliRoom;
  const next = async (...words: string[]) =>
    (await at.done("__complete", "--", ...words))
      .split("\n")
      .filter(Boolean)
      .map((line) => line.split("\t")[0]);
  before(async () => {
    at = await cliRoom();
    for (const name of ["web", "wiki", "gone"]) {
      await at.done("launch", "any", "--name", name);
    }
    await at.done("stop", "web");
    await at.done("snapshot", "web", "--name", "clean");
    await at.done("delete", "gone");
    await at.done("alias", "web:psql");
  });
  after(() => at[Symbol.asyncDispose]());

  it("knows commands, their subcommands, aliases, options and the values of options", async () => {
    expect(await next("re")).to.deep.equal(["restart", "rename", "recover", "release", "restore"]);
    expect(await next(""))
      .to.include.members(["launch", "list", "psql"])
      .and.not.include("__complete");
    expect(await next("image", "")).to.include.members(["build", "list", "pull", "import", "delete"]);
    expect(await next("list", "--s")).to.deep.equal(["--snapshots", "--sort"]);
    expect(await next("list", "--format", "")).to.deep.equal(["table", "json", "yaml", "csv"]);
    expect(await next("completion", "")).to.deep.equal(["bash", "zsh", "fish"]);
  });

  it("knows the engines, and what help is about", async () => {
    expect(await next("--driver", ""))
      .to.include.members(["libvirt", "memory"])
      .and.not.include(":files");
    expect(await next("--driver", "mem")).to.deep.equal(["memory"]);
    expect(await next("help", "la")).to.deep.equal(["launch"]);
    expect(await next("help", "image", "")).to.include.members(["build", "list", "pull", "import", "delete"]);
    expect(await next("help", "launch", "")).to.deep.equal([]);
  });

  it("knows the names that fit where they stand", async () => {
    expect(await next("info", "w")).to.deep.equal(["web", "wiki", "web.clean"]);
    expect(await next("--driver", "memory", "stop", "--force", "web", "wi")).to.deep.equal(["wiki"]);
    expect(await next("restore", "")).to.deep.equal(["web.clean"]);
    expect(await next("delete", "web")).to.deep.equal(["web", "web.clean"]);
    expect(await next("recover", "")).to.deep.equal(["gone"]);
    expect(await next("snapshot", "web", "wi")).to.deep.equal(["wiki"]);
    expect(await next("clone", "web", "")).to.deep.equal([]);
    expect(await next("get", "local.web.c")).to.deep.equal([
      "local.web.clean.comment",
      "local.web.clean.name",
      "local.web.cpus",
    ]);
    expect(await next("transfer", "-r", "w")).to.deep.equal(["web:", "wiki:", ":files"]);
    expect(await next("prefer", "")).to.include("default");
    expect(await next("alias", "we")).to.deep.equal(["web:"]);
    expect(await next("umount", "we")).to.deep.equal(["web"]);
    expect(await next("mount", at.folder, "we")).to.deep.equal(["web:"]);
    await at.done("mount", at.folder, "web:/data");
    expect(await next("umount", "web:")).to.deep.equal(["web:/data"]);
    await at.done("umount", "web:/data");
    expect(await next("set", "local.driv")).to.deep.equal(["local.driver"]);
    expect(await next("list", "--snapshots", "we")).to.deep.equal(["web"]);
    expect(await next("exec", "web", "--", "list", "")).to.deep.equal([":files"]);
  });

  it("knows which states a command is for", async () => {
    expect(await next("start", "")).to.deep.equal(["web"]);
    expect(await next("stop", "")).to.deep.equal(["wiki"]);
    expect(await next("suspend", "")).to.deep.equal(["wiki"]);
    expect(await next("snapshot", "")).to.deep.equal(["web", "wiki"]);
    expect(await next("clone", "")).to.deep.equal(["web"]);
  });

  it("knows values of settings", async () => {
    expect(await next("set", "local.driver=mem")).to.deep.equal(["local.driver=memory"]);
    expect(await next("set", "local.web.bridged=")).to.deep.equal([
      "local.web.bridged=true",
      "local.web.bridged=false",
    ]);
    expect(await next("set", "local.web.cpus=")).to.deep.equal([]);
  });

  it("knows paths in an instance that runs, and starts none for that", async () => {
    await using room = await transferRoom();
    await using other = await cliRoom(async () => room.strata);
    await mkdir(room.path("web/logs"));
    await room.write("web/log 1", "");
    const paths = async (word: string) => other.done("__complete", "--", "transfer", word);
    expect(await paths("web:lo")).to.equal("web:log 1\nweb:logs/\n:files\n");
    await room.strata.instances.stop("db", { force: true });
    expect(await paths("db:")).to.equal(":files\n");
    expect((await room.strata.instances.list())[0]?.state).to.equal("Stopped");
  });

  it("is silent where the engine does not answer", async () => {
    await using other = await cliRoom(async () => {
      throw new Error("no engine");
    });
    const { code, stdout, stderr } = await other.strata("__complete", "--", "start", "");
    expect([code, stdout, stderr]).to.deep.equal([0, "", ""]);
  });

  it("fills in words in bash", async () => {
    const script = `strata() { case "$*" in
      "__complete -- st") printf 'start\\tstart instances\\nstop\\n' ;;
      "__complete -- transfer w") printf 'web:\\n:files\\n' ;;
    esac; }
    compopt() { :; }
    ${await at.done("completion", "bash")}
    COMP_WORDS=(strata st); COMP_CWORD=1; _strata; printf '%s|' "\${COMPREPLY[@]}"
    COMP_WORDS=(strata transfer w); COMP_CWORD=2; _strata; printf '%s|' "\${COMPREPLY[@]}"`;
    expect((await execa("bash", ["-c", script], { cwd: at.folder })).stdout).to.equal("start|stop|web:|");
  });

  it("fills in what is behind a colon or an equal sign, at which bash divides words", async () => {
    const script = `strata() { shift 2; printf '%s\n' "$*" >&3
      case "$*" in
        "transfer web:lo") printf 'web:logs/\n' ;;
        "transfer web:") printf 'web:logs/\n' ;;
        "set local.driver=m") printf 'local.driver=memory\n' ;;
      esac; }
    compopt() { :; }
    ${await at.done("completion", "bash")}
    try() { COMP_LINE=$1 COMP_POINT=\${#1}; shift; COMP_WORDS=(strata "$@") COMP_CWORD=$#; _strata 3>asked; cat asked; printf '%s|' "\${COMPREPLY[@]}"; }
    try "strata transfer web:lo" transfer web : lo
    try "strata transfer web:" transfer web :
    try "strata transfer web: " transfer web : ""
    try "strata set local.driver=m" set local.driver = m`;
    const { stdout } = await execa("bash", ["-c", script], { cwd: at.folder });
    expect(stdout).to.equal(
      "transfer web:lo\nlogs/|transfer web:\nlogs/|transfer web: \n|set local.driver=m\nmemory|",
    );
  });

  it("is installed where the shell looks for it, over nobody else's file", async () => {
    const place = join(at.folder, ".local/share/bash-completion/completions/strata");
    expect(await at.done("completion", "bash", "--install")).to.equal(`Installed: ${place}\n`);
    expect(await readFile(place, "utf8")).to.equal(await at.done("completion", "bash"));
    await at.done("completion", "bash", "--install");
    await writeFile(place, "mine");
    expect((await at.strata("completion", "bash", "--install")).code).to.equal(4);
    expect(await readFile(place, "utf8")).to.equal("mine");
    expect(await at.done("completion", "zsh", "--install")).to.equal(
      `Installed: ${join(at.folder, ".zfunc/_strata")}\n`,
    );
    expect((await at.strata("completion")).stderr).to.equal("strata: give a shell: bash, zsh, fish\n");
  });

  it("refuses a shell that it does not know", async () => {
    const { code, stderr } = await at.strata("completion", "tcsh");
    expect(code).to.equal(2);
    expect(stderr).to.contain("Allowed choices are bash, zsh, fish");
  });
});

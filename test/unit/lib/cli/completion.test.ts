import { expect } from "chai";
import { execa } from "execa";
import { type CliRoom, cliRoom } from "../../../support/cli.ts";

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
    expect(await next("image", "")).to.deep.equal(["build", "list", "delete"]);
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
    expect(await next("help", "image", "")).to.deep.equal(["build", "list", "delete"]);
    expect(await next("help", "launch", "")).to.deep.equal([]);
  });

  it("knows the names that fit where they stand", async () => {
    expect(await next("start", "w")).to.deep.equal(["web", "wiki"]);
    expect(await next("--driver", "memory", "stop", "--force", "web", "wi")).to.deep.equal(["wiki"]);
    expect(await next("restore", "")).to.deep.equal(["web.clean"]);
    expect(await next("delete", "web")).to.deep.equal(["web", "web.clean"]);
    expect(await next("recover", "")).to.deep.equal(["gone"]);
    expect(await next("snapshot", "web", "")).to.deep.equal([]);
    expect(await next("get", "local.web.c")).to.deep.equal([
      "local.web.clean.comment",
      "local.web.clean.name",
      "local.web.cpus",
    ]);
    expect(await next("transfer", "-r", "w")).to.deep.equal(["web:", "wiki:", ":files"]);
    expect(await next("prefer", "")).to.include("default");
    expect(await next("alias", "we")).to.deep.equal(["web:"]);
    expect(await next("mount", "/srv", "we")).to.deep.equal(["web"]);
    expect(await next("umount", "we")).to.deep.equal(["web"]);
    expect(await next("set", "local.driv")).to.deep.equal(["local.driver"]);
    expect(await next("list", "--snapshots", "we")).to.deep.equal(["web"]);
    expect(await next("exec", "web", "--", "list", "")).to.deep.equal([":files"]);
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

  it("refuses a shell that it does not know", async () => {
    const { code, stderr } = await at.strata("completion", "tcsh");
    expect(code).to.equal(2);
    expect(stderr).to.contain("Allowed choices are bash, zsh, fish");
  });
});

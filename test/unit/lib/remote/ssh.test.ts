import { chmod, mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { controlPath, sshArguments } from "../../../../lib/remote/ssh.ts";
import { clearFolder, ownFolder } from "../../../support/leftovers.ts";

const BOX = { user: "admin", host: "box", port: 2222 };
const OPTIONS = { control: "/run/x", keep: false, ask: false, terminal: false };

describe("the arguments of ssh", () => {
  it("end with the host and the command after --", () => {
    const args = sshArguments(BOX, OPTIONS, "exec sh");
    expect(args.slice(args.indexOf("-l"))).to.deep.equal([
      "-l",
      "admin",
      "-p",
      "2222",
      "--",
      "box",
      "exec sh",
    ]);
    expect(
      sshArguments({ user: undefined, host: "box", port: undefined }, OPTIONS, "x"),
    ).to.not.include.members(["-l"]);
  });

  it("give the other host neither the agent nor ports nor commands here", () => {
    expect(sshArguments(BOX, OPTIONS, "x")).to.include.members([
      "ForwardAgent=no",
      "ForwardX11=no",
      "ClearAllForwardings=yes",
      "PermitLocalCommand=no",
    ]);
  });

  it("let ssh ask only where somebody can answer", () => {
    expect(sshArguments(BOX, OPTIONS, "x")).to.include("BatchMode=yes");
    expect(sshArguments(BOX, { ...OPTIONS, ask: true }, "x")).to.include("BatchMode=no");
  });
});

describe("the socket of a kept connection", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await ownFolder("test");
  });
  afterEach(() => clearFolder(folder));

  it("is in the runtime folder of the user, one for each address", () => {
    const env = { XDG_RUNTIME_DIR: folder };
    const path = controlPath(BOX, env);
    expect(path)
      .to.match(/\/strata\/admin@box:2222$/)
      .and.contain(folder);
    expect(controlPath({ ...BOX }, env)).to.equal(path);
    expect(controlPath({ ...BOX, port: 22 }, env)).to.not.equal(path);
    const long = { ...BOX, host: "box.".repeat(40) };
    expect(controlPath(long, env)).to.match(/\/strata\/[0-9a-f]{40}$/);
    expect(controlPath({ ...long, user: "other" }, env)).to.not.equal(controlPath(long, env));
  });

  it("is nowhere that another user could reach", async () => {
    const elsewhere = /^\/tmp\/strata-\d+\//;
    await mkdir(join(folder, "strata"));
    await chmod(join(folder, "strata"), 0o755);
    expect(controlPath(BOX, { XDG_RUNTIME_DIR: folder })).to.match(elsewhere);
    await mkdir(join(folder, "linked"));
    await symlink("/root", join(folder, "linked", "strata"));
    expect(controlPath(BOX, { XDG_RUNTIME_DIR: join(folder, "linked") })).to.match(elsewhere);
  });

  it("is not where its path would be too long for a socket", () => {
    expect(controlPath(BOX, { XDG_RUNTIME_DIR: join(folder, "x".repeat(90)) })).to.match(/^\/tmp\//);
  });
});

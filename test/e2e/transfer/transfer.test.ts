import { chmod, mkdir, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect } from "chai";
import fc from "fast-check";
import { openStrata } from "../../../lib/core/session/open.ts";
import { cliRoom } from "../../support/cli.ts";
import { refusal, type TransferRoom, transferRoom } from "../../support/guest/transfer-room.ts";

describe("a transfer", () => {
  let at: TransferRoom;
  beforeEach(async () => {
    at = await transferRoom();
  });
  afterEach(() => at[Symbol.asyncDispose]());

  it("takes a tree there, to another guest and back, with contents, permissions, times and links", async () => {
    await mkdir(at.path("host/site/-odd name/deep"), { recursive: true });
    await at.write("host/site/run", "#!/bin/sh\n");
    await chmod(at.path("host/site/run"), 0o751);
    await at.write("host/site/-odd name/ünï'\"$HOME\n", "odd");
    await at.write("host/site/empty", "");
    await at.write("host/site/.hidden", "h");
    await at.write(`host/site/${"long".repeat(40)}`, "long");
    await symlink("../run", at.path("host/site/-odd name/link"));
    await symlink("/nowhere", at.path("host/site/dangling"));
    await chmod(at.path("host/site/-odd name/deep"), 0o555);
    const time = new Date("2001-02-03T04:05:06Z");
    for (const each of ["run", "-odd name", ""]) {
      await utimes(at.path(`host/site/${each}`), time, time);
    }
    const whole = await at.tree("host/site");

    const recursive = { recursive: true };
    await at.strata.guest.transfer(
      [{ path: at.path("host/site") }],
      { instance: "web", path: "" },
      recursive,
    );
    expect(await at.tree("web/site")).to.deep.equal(whole);
    await at.strata.guest.transfer(
      [{ instance: "web", path: "site" }],
      { instance: "db", path: "-s" },
      recursive,
    );
    expect(await at.tree("db/-s")).to.deep.equal(whole);
    await at.strata.guest.transfer(
      [{ instance: "db", path: "-s" }],
      { path: at.path("host/back") },
      recursive,
    );
    expect(await at.tree("host/back")).to.deep.equal(whole);
    expect(await at.read("host/back/-odd name/ünï'\"$HOME\n")).to.equal("odd");
    for (const [inner, mode] of [
      ["run", 0o751],
      ["-odd name/deep", 0o555],
    ] as const) {
      expect((await stat(at.path(`host/back/${inner}`))).mode & 0o7777, inner).to.equal(mode);
    }
    for (const each of ["run", "-odd name", ""]) {
      expect((await stat(at.path(`host/back/${each}`))).mtime, each).to.deep.equal(time);
    }
    await chmod(at.path("host/back/-odd name/deep"), 0o755);
  });

  it("puts a file under the name given, or under its own into a folder, and replaces what is there", async () => {
    await at.write("host/a", "one");
    await at.strata.guest.transfer([{ path: at.path("host/a") }], { instance: "web", path: "b" });
    expect(await at.read("web/b")).to.equal("one");
    await at.write("host/a", "two");
    await at.strata.guest.transfer([{ path: at.path("host/a") }], { instance: "web", path: "b" });
    await mkdir(at.path("host/into"));
    await at.strata.guest.transfer([{ instance: "web", path: "b" }], { path: at.path("host/into") });
    await at.strata.guest.transfer([{ instance: "web", path: at.path("web/b") }], {
      path: at.path("host/c"),
    });
    expect(await at.tree("host")).to.deep.equal(["a", "c", "into/", "into/b"]);
    expect(await at.read("host/into/b")).to.equal("two");
  });

  it("leaves out names that are not UTF-8, takes all others, and says so in the end", async () => {
    const bad = (folder: string, name: string) =>
      Buffer.concat([Buffer.from(`${at.path(folder)}/`), Buffer.from(name, "latin1")]);
    const recursive = { recursive: true };
    for (const folder of ["host/site", "web/site"]) {
      await mkdir(at.path(`${folder}/deep`), { recursive: true });
      await writeFile(bad(folder, "caf\xe9"), "bad");
      await mkdir(bad(folder, "d\xff"));
      await writeFile(bad(folder, "d\xff/in"), "bad");
      await symlink(Buffer.from("to-\xe9", "latin1"), at.path(`${folder}/deep/link`));
      await at.write(`${folder}/caf\u00e9`, "good");
      await at.write(`${folder}/z`, "last");
    }
    const there = () =>
      at.strata.guest.transfer({ path: at.path("host/site") }, { instance: "db", path: "s" }, recursive);
    const back = () =>
      at.strata.guest.transfer({ instance: "web", path: "site" }, { path: at.path("host/s") }, recursive);
    for (const [work, folder] of [
      [there, "db/s"],
      [back, "host/s"],
    ] as const) {
      const { code, message } = await refusal(work());
      expect([code, message.split(":")[0]]).to.deep.equal([
        "TRANSFER_INCOMPLETE",
        "everything was transferred but 3 names that are not UTF-8",
      ]);
      expect(await at.tree(folder)).to.deep.equal(["caf\u00e9", "deep/", "z"]);
      expect(await at.read(`${folder}/z`)).to.equal("last");
    }
  });

  it("takes what a pattern of a guest stands for, and nothing else that the pattern says", async () => {
    for (const name of ["a.log", "b c.log", "$(touch evil).log", "notes"]) {
      await at.write(`web/${name}`, name);
    }
    await mkdir(at.path("host/logs"));
    await at.strata.guest.transfer({ instance: "web", path: "*.log" }, { path: at.path("host/logs") });
    expect(await at.tree("host/logs")).to.deep.equal(["$(touch evil).log", "a.log", "b c.log"]);
    const target = { path: at.path("host/one") };
    await at.strata.guest.transfer({ instance: "web", path: `${at.path("web")}/note?` }, target);
    expect(await at.read("host/one")).to.equal("notes");
    const evil = { instance: "web", path: "$(touch evil)*;touch evil" };
    expect((await refusal(at.strata.guest.transfer(evil, target))).code).to.equal("FILE_NOT_FOUND");
    expect(await at.tree("web")).not.to.include("evil");
    await at.write("web/[x]*", "itself");
    await at.strata.guest.transfer({ instance: "web", path: "[x]*" }, { instance: "db", path: "x" });
    expect(await at.read("db/x")).to.equal("itself");
    const several = at.strata.guest.transfer(
      { instance: "web", path: "*.log" },
      { path: at.path("host/none") },
    );
    expect((await refusal(several)).message).to.contain("the folder does not exist");
  });

  it("takes several sources to a folder only, which --parents makes", async () => {
    await at.write("host/a", "a");
    await at.write("web/b", "b");
    const sources = [{ path: at.path("host/a") }, { instance: "web", path: "b" }];
    for (const target of [{ instance: "db", path: "x/y" }, { path: at.path("host/x/y") }]) {
      const refused = await refusal(at.strata.guest.transfer(sources, target));
      expect(refused.code).to.equal("TRANSFER_FAILED");
      expect(refused.message).to.contain("the folder does not exist");
    }
    expect(await at.tree("db")).to.deep.equal([]);
    await at.strata.guest.transfer(sources, { instance: "db", path: "x/y" }, { parents: true });
    expect(await at.tree("db")).to.deep.equal(["x/", "x/y/", "x/y/a", "x/y/b"]);
    await at.strata.guest.transfer(
      [{ instance: "db", path: "x/y/b" }],
      { path: at.path("host/p/q") },
      { parents: true },
    );
    expect(await at.read("host/p/q")).to.equal("b");
  });

  it("adds to a folder that is there and keeps what else is in it", async () => {
    for (const each of ["host/site/css", "web/site/css"]) {
      await mkdir(at.path(each), { recursive: true });
    }
    await at.write("host/site/css/new", "new");
    await at.write("host/site/index", "new");
    await at.write("web/site/index", "old");
    await at.write("web/site/css/mine", "mine");
    const recursive = { recursive: true };
    await at.strata.guest.transfer(
      [{ path: at.path("host/site") }],
      { instance: "web", path: "." },
      recursive,
    );
    expect(await at.tree("web")).to.deep.equal([
      "site/",
      "site/css/",
      "site/css/mine",
      "site/css/new",
      "site/index",
    ]);
    expect(await at.read("web/site/index")).to.equal("new");
    await at.strata.guest.transfer(
      [{ instance: "web", path: "site/." }],
      { path: at.path("host/site") },
      recursive,
    );
    expect(await at.tree("host/site")).to.deep.equal(["css/", "css/mine", "css/new", "index"]);
  });

  it("refuses what is missing, a folder without --recursive, and two ends of this host, naming it", async () => {
    await mkdir(at.path("host/folder"));
    await mkdir(at.path("web/folder"));
    const web = { instance: "web", path: "" };
    const here = { path: at.path("host") };
    for (const [source, target, code, named] of [
      [{ path: at.path("host/none") }, web, "FILE_NOT_FOUND", "host/none"],
      [{ instance: "web", path: "none" }, here, "FILE_NOT_FOUND", "web:none"],
      [{ path: at.path("host/folder") }, web, "TRANSFER_FAILED", "--recursive"],
      [{ instance: "web", path: "folder" }, here, "TRANSFER_FAILED", "--recursive"],
      [
        { instance: "web", path: "/etc/hostname" },
        { path: at.path("host/no/x") },
        "TRANSFER_FAILED",
        "--parents",
      ],
      [{ path: "/etc/hostname" }, { instance: "web", path: "no/x" }, "TRANSFER_FAILED", "--parents"],
      [{ instance: "web", path: "/etc/hostname" }, { path: "/proc/x" }, "FILE_NOT_FOUND", "/proc/x"],
      [{ instance: "web", path: "/dev/null" }, here, "TRANSFER_FAILED", "/dev/null"],
      [{ path: at.path("host/folder") }, here, "USAGE", "NAME:PATH"],
      [{ instance: "nobody", path: "x" }, here, "INSTANCE_NOT_FOUND", "nobody"],
    ] as const) {
      const refused = await refusal(at.strata.guest.transfer([source], target));
      expect(refused.code, named).to.equal(code);
      expect(refused.message).to.contain(named);
    }
    expect(await at.tree("host")).to.deep.equal(["folder/"]);
    expect(await at.tree("web")).to.deep.equal(["folder/"]);
    await at.strata.instances.stop(["web"]);
    expect((await refusal(at.strata.guest.transfer([web], here))).code).to.equal("WRONG_STATE");
  });

  it("never replaces a folder or a device by a file, nor a file by a folder", async () => {
    await at.write("host/a", "a");
    await mkdir(at.path("host/d"));
    await mkdir(at.path("web/here/a"), { recursive: true });
    await at.write("web/d", "file");
    const a = { path: at.path("host/a") };
    for (const path of ["here", "/dev/null"]) {
      expect((await refusal(at.strata.guest.transfer([a], { instance: "web", path }))).code).to.equal(
        "TRANSFER_FAILED",
      );
    }
    const d = { path: at.path("host/d") };
    const refused = refusal(
      at.strata.guest.transfer([d], { instance: "web", path: "" }, { recursive: true }),
    );
    expect((await refused).code).to.equal("TRANSFER_FAILED");
    expect(await at.tree("web")).to.deep.equal(["d", "here/", "here/a/"]);
    await at.write("web/file", "x");
    const from = { instance: "web", path: "file" };
    expect((await refusal(at.strata.guest.transfer([from], { path: "/dev/null" }))).code).to.equal(
      "TRANSFER_FAILED",
    );
    expect((await stat("/dev/null")).isCharacterDevice()).to.equal(true);
  });

  it("streams from standard input and to standard output, however it is cut into pieces", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 2_000_000, size: "max" }), { maxLength: 3 }),
        async (parts) => {
          async function* pieces() {
            yield* parts;
          }
          await at.strata.guest.transfer([{ stream: pieces() }], { instance: "web", path: "piped" });
          const out = new PassThrough();
          const read = buffer(out);
          await at.strata.guest.transfer([{ instance: "web", path: "piped" }], { stream: out });
          out.end();
          expect((await read).equals(Buffer.concat(parts))).to.equal(true);
        },
      ),
      { numRuns: 8 },
    );
  });

  it("is spelt NAME:PATH on the command line, with - for the standard streams", async () => {
    await using cli = await cliRoom((options) => openStrata({ ...options, engine: at.engine }));
    await at.write("host/a:b", "colon");
    await cli.done("transfer", at.path("host/a:b"), "web:");
    expect(await at.read("web/a:b")).to.equal("colon");
    cli.input = "piped in";
    await cli.done("transfer", "-", "web:from stdin");
    expect(await cli.done("transfer", "web:from stdin", "-")).to.equal("piped in");
    await cli.done("transfer", "-rp", "web:.", "db:one/two");
    expect(await at.tree("db")).to.deep.equal(["one/", "one/two/", "one/two/a:b", "one/two/from stdin"]);
    for (const [args, message] of [
      [["a", "b"], "one end of a transfer must be an instance"],
      [["web:a"], "give one or more sources and a destination"],
      [["-", "web:a", "db:"], "a stream must be the only source"],
      [["web:.", "-", "-r"], "only a file can be written to a stream"],
      [["not!a!name:x", "y"], "invalid instance name"],
    ] as const) {
      const { code, stderr } = await cli.strata("transfer", ...args);
      expect(code, stderr).to.equal(2);
      expect(stderr).to.contain(message);
    }
  });

  it("tells how far it is", async () => {
    await at.write("host/big", Buffer.alloc(3_000_000));
    const steps: string[] = [];
    const progress = ({ done, total }: { done?: bigint; total?: bigint }) =>
      void steps.push(`${done}/${total}`);
    await at.strata.guest.transfer(
      [{ path: at.path("host/big") }],
      { instance: "web", path: "big" },
      { progress },
    );
    await at.strata.guest.transfer(
      [{ instance: "web", path: "big" }],
      { path: at.path("host/copy") },
      { progress },
    );
    expect(steps.filter((step) => step === "3000000/3000000")).to.have.length(2);
    expect(steps.length).to.be.greaterThan(10);
  });
});

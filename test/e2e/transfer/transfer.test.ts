import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect } from "chai";
import fc from "fast-check";
import tar from "tar-stream";
import type { Backend } from "../../../lib/backend/contract.ts";
import type { Strata } from "../../../lib/core/api.ts";
import { openStrata } from "../../../lib/core/open.ts";
import { isStrataError } from "../../../lib/errors.ts";
import { keyPair } from "../../../lib/guest/keys.ts";
import { memoryBackend } from "../../../plugins/memory/index.ts";
import { cliRoom } from "../../support/cli.ts";
import { hostGuests } from "../../support/host-guest.ts";
import { type SshServer, sshServer } from "../../support/ssh-server.ts";

interface Room extends AsyncDisposable {
  readonly backend: Backend;
  readonly strata: Strata;
  /** A path below the room: `host/…` is ours, `web/…` and `db/…` are the homes of two guests. */
  path(inner: string): string;
  write(inner: string, content: string | Buffer): Promise<void>;
  read(inner: string): Promise<string>;
  /** Everything below a folder, sorted: `path`, `path/`, or `path -> target`. */
  tree(inner: string): Promise<string[]>;
  /** What the guests' tar writes from now on, whatever it is asked. */
  guestSends(archive: Buffer): Promise<void>;
}

async function room(): Promise<Room> {
  const root = await mkdtemp(join(tmpdir(), "strata-transfer-"));
  const path = (inner: string) => join(root, inner);
  for (const each of ["host", "web", "db", "bin"]) await mkdir(path(each));
  const backend = hostGuests(path, { PATH: `${path("bin")}:${process.env.PATH}` });
  const folders = { config: root, data: path("data"), cache: root, state: root };
  const strata = await openStrata({ backend, folders });
  for (const name of ["web", "db"]) await strata.launch({ image: "any", name });
  return {
    strata,
    backend,
    path,
    write: (inner, content) => writeFile(path(inner), content),
    read: (inner) => readFile(path(inner), "utf8"),
    tree: (inner) => list(path(inner)),
    async guestSends(archive) {
      await writeFile(path("archive"), archive);
      await writeFile(path("bin/next"), `#!/bin/sh\nexec cat '${path("archive")}'\n`, { mode: 0o755 });
      // In one stroke: what still runs from before is not written to.
      await rename(path("bin/next"), path("bin/tar"));
    },
    async [Symbol.asyncDispose]() {
      await strata[Symbol.asyncDispose]();
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** What is in a folder. What goes while it is looked at, as a guest tidies up, is not. */
async function list(folder: string, prefix = ""): Promise<string[]> {
  const lines: string[] = [];
  for (const name of (await unlessGone(readdir(join(folder, prefix))))?.sort() ?? []) {
    const inner = `${prefix}${name}`;
    const found = await unlessGone(lstat(join(folder, inner)));
    if (found === undefined) continue;
    if (found.isSymbolicLink()) lines.push(`${inner} -> ${await readlink(join(folder, inner))}`);
    else if (found.isDirectory()) lines.push(`${inner}/`, ...(await list(folder, `${inner}/`)));
    else lines.push(inner);
  }
  return lines;
}

async function unlessGone<T>(look: Promise<T>): Promise<T | undefined> {
  return look.catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
}

/** The code of what a piece of work rejects with, and its message. */
async function refusal(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await work;
  } catch (error) {
    if (!isStrataError(error)) throw error;
    return { code: error.code, message: error.message };
  }
  throw new Error("it was accepted");
}

async function archive(...entries: (tar.Headers & { content?: string })[]): Promise<Buffer> {
  const pack = tar.pack();
  for (const { content = "", ...header } of entries) pack.entry(header, content);
  pack.finalize();
  return buffer(pack);
}

const folder = { name: "./", type: "directory" } as const;

describe("a transfer", () => {
  let at: Room;
  beforeEach(async () => {
    at = await room();
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
    for (const each of ["run", "-odd name", ""]) await utimes(at.path(`host/site/${each}`), time, time);
    const whole = await at.tree("host/site");

    const recursive = { recursive: true };
    await at.strata.transfer([{ path: at.path("host/site") }], { instance: "web", path: "" }, recursive);
    expect(await at.tree("web/site")).to.deep.equal(whole);
    await at.strata.transfer([{ instance: "web", path: "site" }], { instance: "db", path: "-s" }, recursive);
    expect(await at.tree("db/-s")).to.deep.equal(whole);
    await at.strata.transfer([{ instance: "db", path: "-s" }], { path: at.path("host/back") }, recursive);
    expect(await at.tree("host/back")).to.deep.equal(whole);
    expect(await at.read("host/back/-odd name/ünï'\"$HOME\n")).to.equal("odd");
    for (const [inner, mode] of [
      ["run", 0o751],
      ["-odd name/deep", 0o555],
    ] as const)
      expect((await stat(at.path(`host/back/${inner}`))).mode & 0o7777, inner).to.equal(mode);
    for (const each of ["run", "-odd name", ""])
      expect((await stat(at.path(`host/back/${each}`))).mtime, each).to.deep.equal(time);
    await chmod(at.path("host/back/-odd name/deep"), 0o755);
  });

  it("puts a file under the name given, or under its own into a folder, and replaces what is there", async () => {
    await at.write("host/a", "one");
    await at.strata.transfer([{ path: at.path("host/a") }], { instance: "web", path: "b" });
    expect(await at.read("web/b")).to.equal("one");
    await at.write("host/a", "two");
    await at.strata.transfer([{ path: at.path("host/a") }], { instance: "web", path: "b" });
    await mkdir(at.path("host/into"));
    await at.strata.transfer([{ instance: "web", path: "b" }], { path: at.path("host/into") });
    await at.strata.transfer([{ instance: "web", path: at.path("web/b") }], { path: at.path("host/c") });
    expect(await at.tree("host")).to.deep.equal(["a", "c", "into/", "into/b"]);
    expect(await at.read("host/into/b")).to.equal("two");
  });

  it("takes several sources to a folder only, which --parents makes", async () => {
    await at.write("host/a", "a");
    await at.write("web/b", "b");
    const sources = [{ path: at.path("host/a") }, { instance: "web", path: "b" }];
    for (const target of [{ instance: "db", path: "x/y" }, { path: at.path("host/x/y") }]) {
      const refused = await refusal(at.strata.transfer(sources, target));
      expect(refused.code).to.equal("TRANSFER_FAILED");
      expect(refused.message).to.contain("no such folder");
    }
    expect(await at.tree("db")).to.deep.equal([]);
    await at.strata.transfer(sources, { instance: "db", path: "x/y" }, { parents: true });
    expect(await at.tree("db")).to.deep.equal(["x/", "x/y/", "x/y/a", "x/y/b"]);
    await at.strata.transfer(
      [{ instance: "db", path: "x/y/b" }],
      { path: at.path("host/p/q") },
      { parents: true },
    );
    expect(await at.read("host/p/q")).to.equal("b");
  });

  it("adds to a folder that is there and keeps what else is in it", async () => {
    for (const each of ["host/site/css", "web/site/css"]) await mkdir(at.path(each), { recursive: true });
    await at.write("host/site/css/new", "new");
    await at.write("host/site/index", "new");
    await at.write("web/site/index", "old");
    await at.write("web/site/css/mine", "mine");
    const recursive = { recursive: true };
    await at.strata.transfer([{ path: at.path("host/site") }], { instance: "web", path: "." }, recursive);
    expect(await at.tree("web")).to.deep.equal([
      "site/",
      "site/css/",
      "site/css/mine",
      "site/css/new",
      "site/index",
    ]);
    expect(await at.read("web/site/index")).to.equal("new");
    await at.strata.transfer(
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
      const refused = await refusal(at.strata.transfer([source], target));
      expect(refused.code, named).to.equal(code);
      expect(refused.message).to.contain(named);
    }
    expect(await at.tree("host")).to.deep.equal(["folder/"]);
    expect(await at.tree("web")).to.deep.equal(["folder/"]);
    await at.strata.stop(["web"]);
    expect((await refusal(at.strata.transfer([web], here))).code).to.equal("WRONG_STATE");
  });

  it("never replaces a folder or a device by a file, nor a file by a folder", async () => {
    await at.write("host/a", "a");
    await mkdir(at.path("host/d"));
    await mkdir(at.path("web/here/a"), { recursive: true });
    await at.write("web/d", "file");
    const a = { path: at.path("host/a") };
    for (const path of ["here", "/dev/null"])
      expect((await refusal(at.strata.transfer([a], { instance: "web", path }))).code).to.equal(
        "TRANSFER_FAILED",
      );
    const d = { path: at.path("host/d") };
    const refused = refusal(at.strata.transfer([d], { instance: "web", path: "" }, { recursive: true }));
    expect((await refused).code).to.equal("TRANSFER_FAILED");
    expect(await at.tree("web")).to.deep.equal(["d", "here/", "here/a/"]);
    await at.write("web/file", "x");
    const from = { instance: "web", path: "file" };
    expect((await refusal(at.strata.transfer([from], { path: "/dev/null" }))).code).to.equal(
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
          await at.strata.transfer([{ stream: pieces() }], { instance: "web", path: "piped" });
          const out = new PassThrough();
          const read = buffer(out);
          await at.strata.transfer([{ instance: "web", path: "piped" }], { stream: out });
          out.end();
          expect((await read).equals(Buffer.concat(parts))).to.equal(true);
        },
      ),
      { numRuns: 8 },
    );
  });

  it("writes nowhere else, whatever a guest sends", async () => {
    await mkdir(at.path("outside"));
    await at.write("outside/file", "mine");
    const out = at.path("outside");
    for (const entries of [
      [folder, { name: "../outside/file", content: "evil" }],
      [folder, { name: "./a/../../outside/file", content: "evil" }],
      [folder, { name: `${out}/file`, content: "evil" }],
      [folder, { name: "./link", type: "symlink", linkname: out }, { name: "./link/file", content: "evil" }],
      [
        folder,
        { name: "./link", type: "symlink", linkname: out },
        { name: "./link/", type: "directory", mode: 0o777 },
      ],
      [
        folder,
        { name: "./link", type: "symlink", linkname: `${out}/file` },
        { name: "./link", content: "evil" },
      ],
      [folder, { name: "./hard", type: "link", linkname: `${out}/file` }],
      [folder, { name: "./f", content: "x" }, { name: "./f/file", content: "evil" }],
      [folder, { name: "./dev", type: "character-device", devmajor: 1, devminor: 3 }],
      [folder, { name: "./unannounced/file", content: "evil" }],
      [{ name: "link", type: "symlink", linkname: out }],
    ] satisfies (tar.Headers & { content?: string })[][]) {
      await at.guestSends(await archive(...entries));
      const before = (await stat(out)).mode;
      for (const target of [{ path: at.path("host/copy") }, { instance: "db", path: "copy" }]) {
        const work = at.strata.transfer([{ instance: "web", path: "." }], target, { recursive: true });
        expect((await refusal(work)).code, JSON.stringify(entries)).to.match(/^TRANSFER_(UNSAFE|FAILED)$/);
      }
      expect(await at.tree("outside")).to.deep.equal(["file"]);
      expect(await at.read("outside/file")).to.equal("mine");
      expect((await stat(out)).mode).to.equal(before);
      await rm(at.path("host/copy"), { recursive: true, force: true });
    }
  });

  it("writes through no link that an earlier transfer brought", async () => {
    await mkdir(at.path("outside"));
    await at.write("outside/file", "mine");
    const links = [
      { name: "./file", type: "symlink", linkname: at.path("outside/file") },
      { name: "./folder", type: "symlink", linkname: at.path("outside") },
    ] as const;
    const get = async (...entries: (tar.Headers & { content?: string })[]) => {
      await at.guestSends(await archive(folder, ...entries));
      await at.strata.transfer(
        [{ instance: "web", path: "/srv/." }],
        { path: at.path("host") },
        { recursive: true },
      );
    };
    await get(...links);
    await get({ name: "./file", content: "theirs" });
    expect(await at.read("host/file")).to.equal("theirs");
    const through = get({ name: "./folder", type: "directory" }, { name: "./folder/file", content: "evil" });
    expect((await refusal(through)).code).to.equal("TRANSFER_FAILED");
    expect(await at.read("outside/file")).to.equal("mine");
  });

  it("takes no setuid bit along", async () => {
    await at.guestSends(await archive(folder, { name: "./root", mode: 0o6755, content: "x" }));
    await at.strata.transfer(
      [{ instance: "web", path: "." }],
      { path: at.path("host/got") },
      { recursive: true },
    );
    expect((await stat(at.path("host/got/root"))).mode & 0o7777).to.equal(0o755);
  });

  it("leaves nothing under the final name when it is cancelled, and no other trace", async () => {
    const big = Buffer.alloc(8 * 1024 * 1024, 7);
    await at.write("host/big", big);
    await at.write("web/big", big);
    async function* endless() {
      for (;;) yield big.subarray(0, 100_000);
    }
    for (const [source, target] of [
      [{ path: at.path("host/big") }, { instance: "db", path: "copy" }],
      [{ instance: "web", path: "big" }, { path: at.path("host/copy") }],
      [
        { instance: "web", path: "big" },
        { instance: "db", path: "copy" },
      ],
      [{ stream: endless() }, { instance: "db", path: "copy" }],
    ] as const) {
      const stop = new AbortController();
      const steps: bigint[] = [];
      const work = at.strata.transfer(
        [source],
        target,
        {},
        {
          signal: stop.signal,
          progress: ({ done = 0n }) => {
            steps.push(done);
            if (done > 1_000_000n) stop.abort();
          },
        },
      );
      expect((await refusal(work)).code).to.equal("CANCELLED");
      expect(Number(steps.at(-1))).to.be.lessThan(big.length);
      expect(await at.tree("host")).to.deep.equal(["big"]);
      // The guest tidies up by itself once it has heard.
      for (const end = Date.now() + 5000; (await at.tree("db")).length > 0 && Date.now() < end; )
        await new Promise((resolve) => setTimeout(resolve, 10));
      expect(await at.tree("db")).to.deep.equal([]);
    }
  });

  it("fails, and leaves no file, when the guest's end breaks off", async () => {
    const whole = await archive({ name: "./big", content: "x".repeat(1_000_000) });
    for (const length of [0, 300, 512, 600_000]) {
      await at.guestSends(whole.subarray(0, length));
      const work = at.strata.transfer([{ instance: "web", path: "/etc/hostname" }], {
        path: at.path("host/got"),
      });
      expect((await refusal(work)).code, String(length)).to.equal("TRANSFER_FAILED");
      expect(await at.tree("host")).to.deep.equal([]);
    }
  });

  it("is spelt NAME:PATH on the command line, with - for the standard streams", async () => {
    await using cli = await cliRoom((options) => openStrata({ ...options, backend: at.backend }));
    await at.write("host/a:b", "colon");
    await cli.done("transfer", at.path("host/a:b"), "web:");
    expect(await at.read("web/a:b")).to.equal("colon");
    cli.input = "piped in";
    await cli.done("transfer", "-", "web:from stdin");
    expect(await cli.done("transfer", "web:from stdin", "-")).to.equal("piped in");
    await cli.done("transfer", "-rp", "web:.", "db:one/two");
    expect(await at.tree("db")).to.deep.equal(["one/", "one/two/", "one/two/a:b", "one/two/from stdin"]);
    for (const [args, message] of [
      [["a", "b"], "one end of a transfer is an instance"],
      [["web:a"], "give one or more sources and a destination"],
      [["-", "web:a", "db:"], "a stream is transferred alone"],
      [["web:.", "-", "-r"], "only a file can be written to a stream"],
      [["not_a_name:x", "y"], "invalid instance name"],
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
    await at.strata.transfer(
      [{ path: at.path("host/big") }],
      { instance: "web", path: "big" },
      {},
      { progress },
    );
    await at.strata.transfer(
      [{ instance: "web", path: "big" }],
      { path: at.path("host/copy") },
      {},
      { progress },
    );
    expect(steps.filter((step) => step === "3000000/3000000")).to.have.length(2);
    expect(steps.length).to.be.greaterThan(10);
  });
});

describe("a transfer over ssh", () => {
  let folder: string;
  let server: SshServer;
  let strata: Strata;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "strata-transfer-"));
    const folders = { config: folder, data: folder, cache: folder, state: folder };
    const memory = memoryBackend();
    await using launching = await openStrata({ backend: memory, folders });
    for (const name of ["web", "db"]) await launching.launch({ image: "any", name });
    const { privateKey, publicKey } = await keyPair(join(folder, "ssh"));
    server = await sshServer({ private: privateKey, public: publicKey });
    const guest = { via: "ssh", endpoint: async () => server.endpoint } as const;
    strata = await openStrata({ backend: { ...memory, guest }, folders });
  });
  afterEach(async () => {
    await strata[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  it("is over, with every connection, when the destination refuses", async () => {
    await writeFile(join(folder, "note"), "a note");
    await writeFile(join(folder, "large"), Buffer.alloc(8 * 1024 ** 2));
    for (const name of ["note", "large"]) {
      const source = { instance: "web", path: join(folder, name) };
      const to = (path: string) => refusal(strata.transfer([source], { instance: "db", path }));
      expect((await to(join(folder, "none", "x"))).message).to.contain("the folder above it does not exist");
      expect(
        (await refusal(strata.transfer([source, source], { instance: "db", path: "/none" }))).message,
      ).to.contain("there is no such folder");
      await refusal(strata.transfer([source], { path: "/proc/x" }));
    }
    await server.left();
  });

  it("is over, with every connection, when what comes is no archive", async () => {
    await mkdir(join(folder, "bin"));
    await writeFile(join(folder, "bin/tar"), "#!/bin/sh\nhead -c 4000000 /dev/urandom\n", { mode: 0o755 });
    await writeFile(join(folder, "note"), "a note");
    const { PATH } = process.env;
    process.env.PATH = `${join(folder, "bin")}:${PATH}`;
    try {
      const source = { instance: "web", path: join(folder, "note") };
      await refusal(strata.transfer([source], { path: join(folder, "copy") }));
    } finally {
      process.env.PATH = PATH;
    }
    expect(await readdir(folder)).not.to.include("copy");
    await server.left();
  });
}).timeout(20_000);

import { readFile, utimes, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { execa } from "execa";
import type { FindOptions } from "../../../lib/core/api/strata.ts";
import { recipeOf } from "../../../lib/images/debian/recipe.ts";
import {
  type Answer,
  catalogueFiles,
  fromFiles,
  type ImageServer,
  imageServer,
  type Product,
  sendFile,
} from "../../support/images/image-server.ts";
import {
  contextOf,
  type ImageRoom,
  imageRoom,
  makeImage,
  refusal,
  sha256,
} from "../../support/images/images.ts";

const DAY = 24 * 60 * 60 * 1000;
const INDEX = "/streams/v1/index.json";
const LIST = "/streams/v1/com.ubuntu.cloud:released:download.json";
const IMAGE = "/server/releases/noble/ubuntu-24.04-server-cloudimg-amd64.img";

describe("images from a catalogue", () => {
  let room: ImageRoom;
  let bytes: Buffer;
  let newer: Buffer;
  let files: Record<string, string | Buffer>;
  let server: ImageServer;

  /** What the server publishes from now on. */
  function publish(...products: Product[]): void {
    for (const [path, text] of Object.entries(catalogueFiles(products))) {
      files[path] = text;
    }
  }
  const disk = (of: Buffer, path = IMAGE.slice(1)) => ({ path, size: of.length, sha256: sha256(of) });

  /** The built-in remotes stand for themselves: no test may ask the real ones. */
  async function serve(answer: Answer): Promise<void> {
    await server?.[Symbol.asyncDispose]();
    server = await imageServer(answer);
    const remotes = {
      release: { url: server.url("/") },
      daily: { url: server.url("/daily") },
      lab: { url: server.url("/"), username: "tester" },
    };
    await writeFile(room.path("remotes.json"), JSON.stringify(remotes));
  }

  before(async () => {
    await using made = await imageRoom();
    for (const size of ["16M", "17M"]) {
      await makeImage(made.path(size), size);
    }
    await execa("qemu-io", ["-f", "qcow2", "-c", "write -P 0x5a 0 1M", made.path("16M")]);
    [bytes, newer] = await Promise.all([readFile(made.path("16M")), readFile(made.path("17M"))]);
  });
  beforeEach(async () => {
    room = await imageRoom();
    files = { [IMAGE]: bytes };
    publish({ versions: { "20260821": disk(bytes) } });
    await serve(fromFiles(files));
  });
  afterEach(async () => {
    await server[Symbol.asyncDispose]();
    await room[Symbol.asyncDispose]();
  });

  const resolve = (image: string, store = room.store) => store.resolve(image, contextOf());
  const find = (options: FindOptions = {}) => room.store.find(options, contextOf());
  const asked = (path: string) => server.seen.filter((each) => each.path === path).length;
  const age = (hash: string, days: number) => {
    const then = new Date(Date.now() - days * DAY);
    return utimes(`${room.cache}/${hash}.json`, then, then);
  };
  /** As if what is kept of the catalogues had been asked for so long ago. */
  async function ageManifest(remote: string, days: number): Promise<void> {
    const path = room.path(`cache/catalogues/${remote}.json`);
    const kept = JSON.parse(await readFile(path, "utf8"));
    await writeFile(path, JSON.stringify({ ...kept, fetchedAt: kept.fetchedAt - days * DAY }));
  }
  async function expectNothing(image: string): Promise<{ code: string; reason: string }> {
    const found = await refusal(resolve(image));
    expect(await room.cached().catch(() => [])).to.deep.equal([]);
    return found;
  }

  it("are had by release, codename, alias, hash and remote, and downloaded once", async () => {
    const names = ["24.04", "noble", "NOBLE", "lts", "default", "n", sha256(bytes).slice(0, 12), "lab:noble"];
    for (const name of names) {
      const { source, os, release } = await resolve(name);
      expect({ os, release, hash: source.sha256 }, name).to.deep.equal({
        os: "Ubuntu",
        release: "24.04 LTS",
        hash: sha256(bytes),
      });
    }
    expect(asked(IMAGE)).to.equal(1);
    expect(asked(INDEX), "once by each remote").to.equal(2);
  });

  it("have the default user that their remote is said to have", async () => {
    expect((await resolve("lab:noble")).username).to.equal("tester");
  });

  it("are not known by other names, of other remotes, or for other machines", async () => {
    publish(
      { versions: { 1: disk(bytes) } },
      { version: "25.10", arch: "s390x", aliases: "q", versions: {} },
    );
    files[`/daily${INDEX}`] = files[INDEX] ?? "";
    files[`/daily${LIST}`] = JSON.stringify({ format: "products:1.0", products: {} });
    expect((await expectNothing("nosuch")).code).to.equal("IMAGE_NOT_FOUND");
    expect((await expectNothing("25.10")).code).to.equal("IMAGE_NOT_FOUND");
    expect((await expectNothing("lab:nosuch")).code).to.equal("IMAGE_NOT_FOUND");
    expect((await expectNothing("nosuch:noble")).code).to.equal("REMOTE_NOT_FOUND");
  });

  it("are looked for in daily: where release: has none", async () => {
    Object.assign(files, {
      [`/daily${INDEX}`]: catalogueFiles([])[INDEX],
      [`/daily${LIST}`]: catalogueFiles([
        { version: "26.10", aliases: "26.10,devel", title: "26.10", versions: { 1: disk(newer, "d.img") } },
      ])[LIST],
      "/daily/d.img": newer,
    });
    expect((await resolve("devel")).source.sha256).to.equal(sha256(newer));
    expect((await resolve("daily:26.10")).release).to.equal("26.10");
  });

  it("go on where a connection was cut", async () => {
    let cut = 0;
    await serve((n, request, response) => {
      if (request.url !== IMAGE || cut === 2) {
        return fromFiles(files)(n, request, response);
      }
      cut += 1;
      sendFile(request, response, bytes, { cut: 300_000 });
    });
    expect(sha256(await readFile((await resolve("noble")).source.path))).to.equal(sha256(bytes));
    expect(asked(IMAGE)).to.equal(3);
  });

  it("come over redirects and from a slow server", async () => {
    await serve((n, request, response) => {
      if (request.url !== IMAGE) {
        return fromFiles({ ...files, "/moved": bytes })(n, request, response);
      }
      response.writeHead(302, { location: "/slow" }).end();
    });
    const slow: Answer = (_, __, response) => {
      response.writeHead(200, { "content-length": bytes.length });
      const rest = [...Array(5).keys()].map((at) =>
        bytes.subarray((at * bytes.length) / 5, ((at + 1) * bytes.length) / 5),
      );
      const next = () => {
        const piece = rest.shift();
        if (piece === undefined) {
          response.end();
        } else {
          response.write(piece, () => setImmediate(next));
        }
      };
      next();
    };
    const before = fromFiles(files);
    await serve((n, request, response) => {
      if (request.url === "/slow") {
        slow(n, request, response);
      } else if (request.url === IMAGE) {
        response.writeHead(302, { location: "/slow" }).end();
      } else {
        before(n, request, response);
      }
    });
    expect((await resolve("noble")).source.sha256).to.equal(sha256(bytes));
  });

  it("take a connection over which nothing comes for one that was cut", async () => {
    await using impatient = await imageRoom({ stall: 200 });
    let stalled = false;
    await serve((n, request, response) => {
      if (request.url !== IMAGE || stalled) {
        return fromFiles(files)(n, request, response);
      }
      stalled = true;
      response
        .writeHead(200, { "content-length": bytes.length, etag: '"one"' })
        .write(bytes.subarray(0, 1000));
    });
    await writeFile(impatient.path("remotes.json"), await readFile(room.path("remotes.json")));
    expect((await resolve("noble", impatient.store)).source.sha256).to.equal(sha256(bytes));
    expect(asked(IMAGE)).to.equal(2);
  });

  it("are refused with a wrong hash, and nothing is kept", async () => {
    files[IMAGE] = Buffer.from(bytes).fill(1, 1000, 1100);
    expect((await expectNothing("noble")).code).to.equal("CHECKSUM_MISMATCH");
  });

  it("are refused with a wrong size before they are downloaded, and where the server does not tell it", async () => {
    publish({ versions: { 1: { ...disk(bytes), size: bytes.length - 1 } } });
    expect((await expectNothing("noble")).code).to.equal("SIZE_MISMATCH");
    await serve((n, request, response) => {
      if (request.url !== IMAGE) {
        return fromFiles(files)(n, request, response);
      }
      // In pieces, without a length.
      response.write(bytes);
      response.end();
    });
    expect((await expectNothing("noble")).code).to.equal("SIZE_MISMATCH");
  });

  it("are refused where the server has them no longer", async () => {
    delete files[IMAGE];
    expect(await expectNothing("noble")).to.deep.equal({
      code: "DOWNLOAD_FAILED",
      reason: "the server answered 404 Not Found",
    });
  });

  it("are not looked for where the catalogue is no catalogue", async () => {
    for (const text of ["<html>", "{}", JSON.stringify({ format: "index:1.0", index: { a: { path: 5 } } })]) {
      files[INDEX] = text;
      expect((await expectNothing("lab:noble")).code, text).to.equal("CATALOGUE_UNREADABLE");
    }
    publish({ versions: { 1: disk(bytes, "https://evil.example/a.img") } });
    expect((await expectNothing("lab:noble")).reason).to.match(/must be on the same server/);
    files[INDEX] = "x".repeat(33 * 1024 * 1024);
    expect((await expectNothing("lab:noble")).reason).to.match(/must be at most/);
    const many = Object.fromEntries(
      [...Array(17).keys()].map((n) => [
        n,
        { datatype: "image-downloads", format: "products:1.0", path: LIST.slice(1) },
      ]),
    );
    files[INDEX] = JSON.stringify({ format: "index:1.0", index: many });
    expect((await expectNothing("lab:noble")).reason).to.match(/more than 16 files, and has 17/);
    delete files[INDEX];
    expect((await expectNothing("lab:noble")).reason).to.equal("the server answered 404 Not Found");
  });

  it("are downloaded by one of two processes that want the same at once", async () => {
    const both: (() => void)[] = [];
    await serve((n, request, response) => {
      if (request.url !== IMAGE && request.url !== LIST) {
        return fromFiles(files)(n, request, response);
      }
      // Neither has the catalogue before both have asked for it: none finds it where the other has put it.
      const go = () => fromFiles(files)(n, request, response);
      if (server.seen.filter(({ path }) => path === LIST).length === 2) {
        go();
      } else {
        both.push(go);
      }
    });
    const script = fileURLToPath(new URL("../../support/images/resolve-image.ts", import.meta.url));
    const launch = () => execa(process.execPath, ["--import", "tsx", script, room.folder, "noble"]);
    const first = launch();
    const second = launch();
    const waiting = setInterval(() => {
      if (server.seen.filter(({ path }) => path === LIST).length === 2) {
        for (const go of both.splice(0)) {
          go();
        }
      }
    }, 20);
    try {
      const results = (await Promise.all([first, second])).map(({ stdout }) => JSON.parse(stdout));
      for (const { sha256: hash } of results) {
        expect(hash).to.equal(sha256(bytes));
      }
      expect(results.filter(({ phases }) => phases.includes("Downloading image"))).to.have.length(1);
    } finally {
      clearInterval(waiting);
    }
    expect(asked(IMAGE)).to.equal(1);
    expect(await room.cached()).to.deep.equal([`${sha256(bytes)}.json`, `${sha256(bytes)}.qcow2`]);
  });

  it("are had in the newer version once the catalogue is a day old, and at once by --force-update", async () => {
    await resolve("noble");
    files["/new.img"] = newer;
    publish({ versions: { "20260821": disk(bytes), "20261101": disk(newer, "new.img") } });
    expect((await resolve("noble")).source.sha256).to.equal(sha256(bytes));
    await ageManifest("release", 1);
    expect((await resolve("noble")).source.sha256).to.equal(sha256(newer));
    expect((await resolve(sha256(bytes).slice(0, 8))).source.sha256).to.equal(sha256(bytes));
    publish({ versions: { "20261102": disk(bytes) } });
    expect((await find({ text: "noble" })).images[0]?.version).to.equal("20261101");
    expect((await find({ text: "noble", refresh: true })).images[0]?.version).to.equal("20261102");
  });

  it("are launched from the cache without the remote, in the version that is there, with a warning", async () => {
    await resolve("noble");
    files["/new.img"] = newer;
    publish({ versions: { "20261101": disk(newer, "new.img") } });
    await find({ refresh: true });
    await server[Symbol.asyncDispose]();
    expect((await resolve("noble")).source.sha256, "the newer version is known").to.equal(sha256(bytes));
    await ageManifest("release", 30);
    expect((await resolve("24.04")).source.sha256, "its catalogue is old").to.equal(sha256(bytes));
    await writeFile(room.path("cache/catalogues/release.json"), "{");
    expect((await resolve("lts")).source.sha256, "its catalogue is gone").to.equal(sha256(bytes));
    expect(room.warnings).to.have.length.greaterThan(2);
    expect((await refusal(resolve("26.04"))).code).to.equal("DOWNLOAD_FAILED");
  });

  it("expire when they were not launched for 14 days, and what was a file or built does not", async () => {
    await writeFile(room.path("mine.qcow2"), newer);
    await resolve("noble");
    await resolve(`file://${room.path("mine.qcow2")}`);
    for (const hash of [sha256(bytes), sha256(newer)]) {
      await age(hash, 13);
    }
    await resolve(sha256(newer).slice(0, 8));
    expect(await room.store.list()).to.have.length(2);
    for (const hash of [sha256(bytes), sha256(newer)]) {
      await age(hash, 15);
    }
    await resolve("noble");
    expect(await room.store.list(), "the one being launched stays").to.have.length(2);
    for (const hash of [sha256(bytes), sha256(newer)]) {
      await age(hash, 15);
    }
    const record = JSON.parse(await readFile(`${room.cache}/${sha256(newer)}.json`, "utf8"));
    await resolve(sha256(newer).slice(0, 8));
    expect((await room.store.list()).map((image) => image.sha256)).to.deep.equal([sha256(newer)]);
    const built = { ...record, source: "built: debian micro", aliases: ["debian-micro"] };
    await writeFile(`${room.cache}/${sha256(newer)}.json`, JSON.stringify(built));
    await age(sha256(newer), 400);
    await resolve("noble");
    expect(await room.store.list()).to.have.length(2);
  });

  it("are found by text, with the remotes in order and each release once", async () => {
    publish(
      { versions: { 1: disk(bytes) } },
      {
        version: "23.10",
        release: "mantic",
        title: "23.10",
        aliases: "23.10,mantic",
        supported: false,
        versions: { 1: disk(bytes) },
      },
    );
    files[`/daily${INDEX}`] = files[INDEX] ?? "";
    files[`/daily${LIST}`] =
      catalogueFiles([
        { versions: { 2: disk(newer) } },
        { version: "26.10", title: "26.10", aliases: "26.10,devel", versions: { 2: disk(newer) } },
      ])[LIST] ?? "";
    const names = async (options: FindOptions) => (await find(options)).images.map(({ name }) => name);
    expect(await names({})).to.deep.equal(["24.04", "daily:26.10"]);
    expect(await names({ unsupported: true })).to.deep.equal(["23.10", "24.04", "daily:26.10"]);
    expect(await names({ text: "daily:" })).to.deep.equal(["daily:24.04", "daily:26.10"]);
    expect(await names({ text: "lts" })).to.deep.equal(["24.04"]);
    expect(await names({ text: "ubuntu 26" })).to.deep.equal(["daily:26.10"]);
    expect(await names({ text: `daily:${sha256(newer).slice(0, 8)}` })).to.have.length(2);
    expect((await find({ text: "noble" })).images).to.deep.equal([
      {
        name: "24.04",
        aliases: ["lts", "noble"],
        os: "Ubuntu",
        release: "24.04 LTS",
        remote: "",
        version: "1",
      },
    ]);
    expect((await refusal(find({ text: "mantic" }))).code).to.equal("IMAGE_NOT_FOUND");
    expect((await refusal(find({ text: "nosuch:" }))).code).to.equal("REMOTE_NOT_FOUND");
  });

  it("are told with what could not be asked, and what was built beside them", async () => {
    await resolve("noble");
    const record = JSON.parse(await readFile(`${room.cache}/${sha256(bytes)}.json`, "utf8"));
    const aliases = ["debian-cloud", "debian"];
    const built = {
      ...record,
      source: "built: debian cloud",
      aliases,
      published: undefined,
      os: "Debian",
      release: "12",
    };
    await writeFile(`${room.cache}/${sha256(bytes)}.json`, JSON.stringify(built));
    const { images, errors } = await find();
    expect(images.map(({ name }) => name)).to.deep.equal(["24.04", "debian-cloud"]);
    expect(errors).to.have.length(1);
    expect(errors[0]).to.match(/daily.*404/);
  });

  it("that were built from another recipe are launched with a warning, and told as outdated", async () => {
    await resolve("noble");
    const path = `${room.cache}/${sha256(bytes)}.json`;
    const { published: _, ...record } = JSON.parse(await readFile(path, "utf8"));
    const built = { ...record, source: "built: debian micro", aliases: ["debian-micro"] };
    const told = async (change: { recipe?: string }) => {
      await writeFile(path, JSON.stringify({ ...built, ...change }));
      const before = room.warnings.length;
      expect((await resolve("debian-micro")).source.sha256).to.equal(sha256(bytes));
      const [image] = await room.store.list();
      return { outdated: image?.outdated, warnings: room.warnings.slice(before) };
    };
    expect(await told({ recipe: recipeOf("micro") })).to.deep.equal({ outdated: false, warnings: [] });
    for (const change of [{ recipe: recipeOf("cloud") }, {}]) {
      const { outdated, warnings } = await told(change);
      expect(outdated).to.equal(true);
      expect(warnings.join()).to.match(/another version of strata.*image build debian --variant micro/);
    }
  });

  it("need a remote that nobody on the way can change, and a file of remotes that can be read", async () => {
    const refuse = async (remotes: unknown) => {
      await writeFile(
        room.path("remotes.json"),
        typeof remotes === "string" ? remotes : JSON.stringify(remotes),
      );
      return refusal(resolve("lab:noble"));
    };
    expect(await refuse({ lab: { url: "http://images.example/" } })).to.deep.equal({
      code: "INVALID_VALUE",
      reason: "lab.url: must be https, or http to this host itself",
    });
    for (const broken of [
      "{",
      "[]",
      { "a b": { url: "https://a.example" } },
      { lab: { url: "ftp://a.example" } },
      { lab: { url: "https://a.example", user: "x" } },
    ]) {
      expect((await refuse(broken)).code, JSON.stringify(broken)).to.equal("INVALID_VALUE");
    }
  });
});

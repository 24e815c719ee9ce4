import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { execa } from "execa";
import {
  type CatalogueLab,
  disk,
  IMAGE,
  INDEX,
  LIST,
  labForEach,
} from "../../support/images/catalogue-lab.ts";
import { type Answer, catalogueFiles, fromFiles, sendFile } from "../../support/images/image-server.ts";
import { imageRoom, sha256 } from "../../support/images/images.ts";

describe("images from a catalogue", () => {
  let lab: CatalogueLab;
  labForEach((each) => {
    lab = each;
  });

  it("are had by release, codename, alias, hash and remote, and downloaded once", async () => {
    const names = [
      "24.04",
      "noble",
      "NOBLE",
      "lts",
      "default",
      "n",
      sha256(lab.bytes).slice(0, 12),
      "lab:noble",
    ];
    for (const name of names) {
      const { source, os, release } = await lab.resolve(name);
      expect({ os, release, hash: source.sha256 }, name).to.deep.equal({
        os: "Ubuntu",
        release: "24.04 LTS",
        hash: sha256(lab.bytes),
      });
    }
    expect(lab.asked(IMAGE)).to.equal(1);
    expect(lab.asked(INDEX), "once by each remote").to.equal(2);
  });

  it("have the default user that their remote is said to have", async () => {
    expect((await lab.resolve("lab:noble")).username).to.equal("tester");
  });

  it("are not known by other names, of other remotes, or for other machines", async () => {
    lab.publish(
      { versions: { 1: disk(lab.bytes) } },
      { version: "25.10", arch: "s390x", aliases: "q", versions: {} },
    );
    lab.files[`/daily${INDEX}`] = lab.files[INDEX] ?? "";
    lab.files[`/daily${LIST}`] = JSON.stringify({ format: "products:1.0", products: {} });
    expect((await lab.expectNothing("nosuch")).code).to.equal("IMAGE_NOT_FOUND");
    expect((await lab.expectNothing("25.10")).code).to.equal("IMAGE_NOT_FOUND");
    expect((await lab.expectNothing("lab:nosuch")).code).to.equal("IMAGE_NOT_FOUND");
    expect((await lab.expectNothing("nosuch:noble")).code).to.equal("REMOTE_NOT_FOUND");
  });

  it("are looked for in daily: where release: has none", async () => {
    Object.assign(lab.files, {
      [`/daily${INDEX}`]: catalogueFiles([])[INDEX],
      [`/daily${LIST}`]: catalogueFiles([
        {
          version: "26.10",
          aliases: "26.10,devel",
          title: "26.10",
          versions: { 1: disk(lab.newer, "d.img") },
        },
      ])[LIST],
      "/daily/d.img": lab.newer,
    });
    expect((await lab.resolve("devel")).source.sha256).to.equal(sha256(lab.newer));
    expect((await lab.resolve("daily:26.10")).release).to.equal("26.10");
  });

  it("go on where a connection was cut", async () => {
    let cut = 0;
    await lab.serve((n, request, response) => {
      if (request.url !== IMAGE || cut === 2) {
        return fromFiles(lab.files)(n, request, response);
      }
      cut += 1;
      sendFile(request, response, lab.bytes, { cut: 300_000 });
    });
    expect(sha256(await readFile((await lab.resolve("noble")).source.path))).to.equal(sha256(lab.bytes));
    expect(lab.asked(IMAGE)).to.equal(3);
  });

  it("come over redirects and from a slow server", async () => {
    await lab.serve((n, request, response) => {
      if (request.url !== IMAGE) {
        return fromFiles({ ...lab.files, "/moved": lab.bytes })(n, request, response);
      }
      response.writeHead(302, { location: "/slow" }).end();
    });
    const slow: Answer = (_, __, response) => {
      response.writeHead(200, { "content-length": lab.bytes.length });
      const rest = [...Array(5).keys()].map((at) =>
        lab.bytes.subarray((at * lab.bytes.length) / 5, ((at + 1) * lab.bytes.length) / 5),
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
    const before = fromFiles(lab.files);
    await lab.serve((n, request, response) => {
      if (request.url === "/slow") {
        slow(n, request, response);
      } else if (request.url === IMAGE) {
        response.writeHead(302, { location: "/slow" }).end();
      } else {
        before(n, request, response);
      }
    });
    expect((await lab.resolve("noble")).source.sha256).to.equal(sha256(lab.bytes));
  });

  it("take a connection over which nothing comes for one that was cut", async () => {
    await using impatient = await imageRoom({ stall: 200 });
    let stalled = false;
    await lab.serve((n, request, response) => {
      if (request.url !== IMAGE || stalled) {
        return fromFiles(lab.files)(n, request, response);
      }
      stalled = true;
      response
        .writeHead(200, { "content-length": lab.bytes.length, etag: '"one"' })
        .write(lab.bytes.subarray(0, 1000));
    });
    await writeFile(impatient.path("remotes.json"), await readFile(lab.room.path("remotes.json")));
    expect((await lab.resolve("noble", impatient.store)).source.sha256).to.equal(sha256(lab.bytes));
    expect(lab.asked(IMAGE)).to.equal(2);
  });

  it("are refused with a wrong hash, and nothing is kept", async () => {
    lab.files[IMAGE] = Buffer.from(lab.bytes).fill(1, 1000, 1100);
    expect((await lab.expectNothing("noble")).code).to.equal("CHECKSUM_MISMATCH");
  });

  it("are refused with a wrong size before they are downloaded, and where the server does not tell it", async () => {
    lab.publish({ versions: { 1: { ...disk(lab.bytes), size: lab.bytes.length - 1 } } });
    expect((await lab.expectNothing("noble")).code).to.equal("SIZE_MISMATCH");
    await lab.serve((n, request, response) => {
      if (request.url !== IMAGE) {
        return fromFiles(lab.files)(n, request, response);
      }
      // In pieces, without a length.
      response.write(lab.bytes);
      response.end();
    });
    expect((await lab.expectNothing("noble")).code).to.equal("SIZE_MISMATCH");
  });

  it("are refused where the server has them no longer", async () => {
    delete lab.files[IMAGE];
    expect(await lab.expectNothing("noble")).to.deep.equal({
      code: "DOWNLOAD_FAILED",
      reason: "the server answered 404 Not Found",
    });
  });

  it("are not looked for where the catalogue is no catalogue", async () => {
    for (const text of ["<html>", "{}", JSON.stringify({ format: "index:1.0", index: { a: { path: 5 } } })]) {
      lab.files[INDEX] = text;
      expect((await lab.expectNothing("lab:noble")).code, text).to.equal("CATALOGUE_UNREADABLE");
    }
    lab.publish({ versions: { 1: disk(lab.bytes, "https://evil.example/a.img") } });
    expect((await lab.expectNothing("lab:noble")).reason).to.match(/must be on the same server/);
    lab.files[INDEX] = "x".repeat(33 * 1024 * 1024);
    expect((await lab.expectNothing("lab:noble")).reason).to.match(/must be at most/);
    const many = Object.fromEntries(
      [...Array(17).keys()].map((n) => [
        n,
        { datatype: "image-downloads", format: "products:1.0", path: LIST.slice(1) },
      ]),
    );
    lab.files[INDEX] = JSON.stringify({ format: "index:1.0", index: many });
    expect((await lab.expectNothing("lab:noble")).reason).to.match(/more than 16 files, and has 17/);
    delete lab.files[INDEX];
    expect((await lab.expectNothing("lab:noble")).reason).to.equal("the server answered 404 Not Found");
  });

  it("are downloaded by one of two processes that want the same at once", async () => {
    const both: (() => void)[] = [];
    await lab.serve((n, request, response) => {
      if (request.url !== IMAGE && request.url !== LIST) {
        return fromFiles(lab.files)(n, request, response);
      }
      // Neither has the catalogue before both have asked for it: none finds it where the other has put it.
      const go = () => fromFiles(lab.files)(n, request, response);
      if (lab.server.seen.filter(({ path }) => path === LIST).length === 2) {
        go();
      } else {
        both.push(go);
      }
    });
    const script = fileURLToPath(new URL("../../support/images/resolve-image.ts", import.meta.url));
    const launch = () => execa(process.execPath, ["--import", "tsx", script, lab.room.folder, "noble"]);
    const first = launch();
    const second = launch();
    const waiting = setInterval(() => {
      if (lab.server.seen.filter(({ path }) => path === LIST).length === 2) {
        for (const go of both.splice(0)) {
          go();
        }
      }
    }, 20);
    try {
      const results = (await Promise.all([first, second])).map(({ stdout }) => JSON.parse(stdout));
      for (const { sha256: hash } of results) {
        expect(hash).to.equal(sha256(lab.bytes));
      }
      expect(results.filter(({ phases }) => phases.includes("Downloading image"))).to.have.length(1);
    } finally {
      clearInterval(waiting);
    }
    expect(lab.asked(IMAGE)).to.equal(1);
    expect(await lab.room.cached()).to.deep.equal([
      `${sha256(lab.bytes)}.json`,
      `${sha256(lab.bytes)}.qcow2`,
    ]);
  });
});

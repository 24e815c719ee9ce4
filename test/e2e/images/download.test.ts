import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { expect } from "chai";
import { execa } from "execa";
import type { Progress } from "../../../lib/engine/contract.ts";
import { type Answer, type ImageServer, imageServer, sendFile } from "../../support/images/image-server.ts";
import {
  contextOf,
  type ImageRoom,
  imageRoom,
  makeImage,
  refusal,
  sha256,
} from "../../support/images/images.ts";

describe("images over HTTP", () => {
  let room: ImageRoom;
  let bytes: Buffer;
  let hash: string;
  let server: ImageServer | undefined;

  beforeEach(async () => {
    room = await imageRoom();
    const path = room.path("origin.qcow2");
    await makeImage(path, "16M");
    await execa("qemu-io", ["-f", "qcow2", "-c", "write -P 0x5a 0 3M", path]);
    bytes = await readFile(path);
    hash = sha256(bytes);
  });
  afterEach(async () => {
    await server?.[Symbol.asyncDispose]();
    server = undefined;
    await room[Symbol.asyncDispose]();
  });

  async function serve(answer: Answer): Promise<ImageServer> {
    server = await imageServer(answer);
    return server;
  }

  const fetched = (url: string, hear?: (step: Progress) => void, signal?: AbortSignal) =>
    room.store.resolve(url, contextOf(hear, signal));

  async function expectWhole(url: string): Promise<void> {
    const { source } = await fetched(url);
    expect(
      createHash("sha256")
        .update(await readFile(source.path))
        .digest("hex"),
    ).to.equal(hash);
    expect(await room.cached()).to.deep.equal([`${hash}.json`, `${hash}.qcow2`]);
  }

  async function expectNothing(url: string): Promise<{ code: string; reason: string }> {
    const found = await refusal(fetched(url));
    expect(await room.cached().catch(() => [])).to.deep.equal([]);
    return found;
  }

  it("downloads, tells how far it is, verifies and keeps", async () => {
    const { url, seen } = await serve((_, request, response) => sendFile(request, response, bytes));
    const steps: Progress[] = [];
    const { source, os, release } = await fetched(url("/debian-12.qcow2", hash), (step) => steps.push(step));
    expect({ os, release }).to.deep.equal({ os: "Debian", release: "12" });
    expect(sha256(await readFile(source.path))).to.equal(hash);
    const [last] = steps.filter(({ phase }) => phase === "Downloading image").slice(-1);
    expect(last).to.deep.equal({
      phase: "Downloading image",
      done: BigInt(bytes.length),
      total: BigInt(bytes.length),
    });
    expect(steps.map(({ phase }) => phase)).to.include("Verifying image");
    expect(seen).to.deep.equal([{ path: "/debian-12.qcow2", range: undefined, ifRange: undefined }]);
  });

  it("asks nobody for an image that is there", async () => {
    const { url, seen } = await serve((_, request, response) => sendFile(request, response, bytes));
    await fetched(url("/a", hash));
    await fetched(url("/b", hash));
    expect(seen).to.have.length(1);
  });

  it("goes on where a connection was cut, as long as the file is the same", async () => {
    const { url, seen } = await serve((n, request, response) =>
      sendFile(request, response, bytes, n < 3 ? { cut: 1_000_000 } : {}),
    );
    await expectWhole(url("/a", hash));
    expect(seen).to.have.length(4);
    for (const { range, ifRange } of seen.slice(1)) {
      expect(range).to.match(/^bytes=[1-9]\d*-$/);
      expect(ifRange).to.equal('"one"');
    }
  });

  it("starts over when the file has changed meanwhile", async () => {
    const older = Buffer.alloc(bytes.length + 4096, 7);
    const { url, seen } = await serve((n, request, response) =>
      n === 0
        ? sendFile(request, response, older, { cut: 500_000, tag: '"old"' })
        : sendFile(request, response, bytes, { tag: '"new"' }),
    );
    await expectWhole(url("/a", hash));
    expect(seen[1]).to.include({ ifRange: '"old"' });
  });

  it("leaves nothing of a longer first half behind a shorter whole", async () => {
    const longer = Buffer.alloc(bytes.length * 2, 7);
    const { url } = await serve((n, request, response) =>
      n === 0
        ? sendFile(request, response, longer, { cut: bytes.length + 100_000, tag: '"old"' })
        : sendFile(request, response, bytes, { tag: '"new"' }),
    );
    await expectWhole(url("/a", hash));
  });

  it("starts over with a server that knows no ranges", async () => {
    const { url } = await serve((n, _, response) => {
      response.writeHead(200, { "content-length": bytes.length, etag: '"one"' });
      if (n > 0) {
        response.end(bytes);
      } else {
        response.write(bytes.subarray(0, 300_000), () => response.destroy());
      }
    });
    await expectWhole(url("/a", hash));
  });

  it("asks for the whole again where only a weak tag names the file", async () => {
    const { url, seen } = await serve((n, request, response) =>
      sendFile(request, response, bytes, { tag: 'W/"weak"', ...(n === 0 ? { cut: 300_000 } : {}) }),
    );
    await expectWhole(url("/a", hash));
    expect(seen[1]).to.include({ range: undefined, ifRange: undefined });
  });

  it("does not take another part for the one it asked for", async () => {
    const { url } = await serve((n, request, response) => {
      if (n !== 1) {
        return sendFile(request, response, bytes, n === 0 ? { cut: 300_000 } : {});
      }
      response.writeHead(206, { "content-range": `bytes 5-9/${bytes.length}`, "content-length": 5 });
      response.end("wrong");
    });
    await expectWhole(url("/a", hash));
  });

  it("takes up a download that a server in trouble refused", async () => {
    const { url, seen } = await serve((n, request, response) => {
      if (n < 2) {
        response.writeHead(503).end();
      } else {
        sendFile(request, response, bytes);
      }
    });
    await expectWhole(url("/a", hash));
    expect(seen).to.have.length(3);
  });

  it("gives up when nothing comes any more, after five resumes", async () => {
    const { url, seen } = await serve((n, request, response) => {
      if (n === 0) {
        sendFile(request, response, bytes, { cut: 300_000 });
      } else {
        response.destroy();
      }
    });
    expect((await expectNothing(url("/a", hash))).code).to.equal("DOWNLOAD_FAILED");
    expect(seen).to.have.length(6);
  });

  it("gives up on a server that sends a byte at a time", async () => {
    const { url, seen } = await serve((_, request, response) =>
      sendFile(request, response, bytes, { cut: 1 }),
    );
    expect((await expectNothing(url("/a", hash))).code).to.equal("DOWNLOAD_FAILED");
    expect(seen).to.have.length(6);
  });

  it("deletes a download whose hash is wrong", async () => {
    const { url } = await serve((_, request, response) => sendFile(request, response, bytes));
    expect((await expectNothing(url("/a", "0".repeat(64)))).code).to.equal("CHECKSUM_MISMATCH");
  });

  it("asks for nothing without a checksum", async () => {
    const { url, seen } = await serve((_, request, response) => sendFile(request, response, bytes));
    expect((await expectNothing(url("/a"))).code).to.equal("CHECKSUM_REQUIRED");
    expect(seen).to.deep.equal([]);
  });

  it("follows a redirect", async () => {
    const { url, seen } = await serve((_, request, response) => {
      if (request.url === "/a") {
        response.writeHead(302, { location: "/b" }).end();
      } else {
        sendFile(request, response, bytes);
      }
    });
    await expectWhole(url("/a", hash));
    expect(seen.map(({ path }) => path)).to.deep.equal(["/a", "/b"]);
  });

  it("does not follow a redirect out of HTTP, nor one in a circle for ever", async () => {
    const { url } = await serve((_, request, response) => {
      const location = request.url === "/file" ? "file:///etc/passwd" : "/circle";
      response.writeHead(302, { location }).end();
    });
    expect((await expectNothing(url("/file", hash))).code).to.equal("DOWNLOAD_FAILED");
    expect((await expectNothing(url("/circle", hash))).code).to.equal("DOWNLOAD_FAILED");
  });

  it("tells what the server refused, at once", async () => {
    const { url, seen } = await serve((_, __, response) => response.writeHead(404).end("no"));
    expect(await expectNothing(url("/a", hash))).to.deep.equal({
      code: "DOWNLOAD_FAILED",
      reason: "the server answered 404 Not Found",
    });
    expect(seen).to.have.length(1);
  });

  it("tells that nobody listens", async () => {
    const gone = await imageServer(() => {});
    const url = gone.url("/a", hash);
    await gone[Symbol.asyncDispose]();
    const found = await expectNothing(url);
    expect(found.code).to.equal("DOWNLOAD_FAILED");
    expect(found.reason).to.match(/ECONNREFUSED/);
  });

  it("stops when cancelled in the middle, and keeps nothing", async () => {
    const abort = new AbortController();
    const { url, seen } = await serve((_, __, response) => {
      // Never ends by itself: only the cancellation can end the test.
      response.writeHead(200, { "content-length": bytes.length });
      response.write(bytes.subarray(0, 300_000));
    });
    const work = fetched(
      url("/a", hash),
      ({ phase }) => phase === "Downloading image" && abort.abort(),
      abort.signal,
    );
    expect((await refusal(work)).code).to.equal("CANCELLED");
    expect(await room.cached()).to.deep.equal([]);
    expect(seen).to.have.length(1);
  });

  it("looks at what it downloaded: a right hash makes no right image", async () => {
    const text = Buffer.from("<html>not an image</html>".repeat(100));
    const { url } = await serve((_, request, response) => sendFile(request, response, text));
    expect((await expectNothing(url("/a", sha256(text)))).code).to.equal("IMAGE_UNREADABLE");
  });

  it("downloads one image twice at once", async () => {
    const { url } = await serve((_, request, response) => sendFile(request, response, bytes));
    const results = await Promise.all([1, 2].map(() => fetched(url("/a", hash))));
    for (const { source } of results) {
      expect(sha256(await readFile(source.path))).to.equal(hash);
    }
    expect(await room.cached()).to.deep.equal([`${hash}.json`, `${hash}.qcow2`]);
  });

  it("logs in with the name and password of a URL, and keeps neither them nor a token", async () => {
    const { url } = await serve((_, request, response) => {
      const wanted = `Basic ${Buffer.from("user:ge heim").toString("base64")}`;
      if (request.headers.authorization === wanted) {
        sendFile(request, response, bytes);
      } else {
        response.writeHead(401).end();
      }
    });
    expect((await expectNothing(url("/a", hash))).reason).to.match(/401/);
    await expectWhole(url("/a?token=geheim", hash).replace("//", "//user:ge%20heim@"));
    expect(await readFile(`${room.cache}/${hash}.json`, "utf8")).not.to.match(/geheim|ge%20heim/);
  });
});

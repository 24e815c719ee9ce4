import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { isStrataError } from "../../../lib/errors.ts";
import { fetchText } from "../../../lib/util/http.ts";
import { type Identity, type ImageServer, imageServer } from "../../support/images/image-server.ts";

/** What catalogues and user-data come by. */
describe("a text that is fetched", () => {
  const trusted = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  let folder: string;
  let identity: Identity;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "strata-redirect-"));
    const [key, cert] = ["key", "cert"].map((file) => join(folder, file));
    const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"];
    const files = ["-keyout", key ?? "", "-out", cert ?? ""];
    const made = [
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-days",
      "1",
    ];
    await execa("openssl", [...made, ...names, ...files]);
    identity = { key: await readFile(key ?? "", "utf8"), cert: await readFile(cert ?? "", "utf8") };
    // The certificate is the test's own; where a redirect leads is what is looked at.
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
  });
  after(async () => {
    if (trusted === undefined) {
      delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    } else {
      process.env.NODE_TLS_REJECT_UNAUTHORIZED = trusted;
    }
    await rm(folder, { recursive: true, force: true });
  });

  const fetched = (url: string) =>
    fetchText(new URL(url), {
      limit: 1024,
      timeout: 20_000,
      signal: new AbortController().signal,
    }).catch((error: unknown) =>
      isStrataError(error) ? `${error.code}: ${error.details.reason}` : String(error),
    );
  const leadsTo = (where: () => string, tls?: Identity): Promise<ImageServer> =>
    imageServer((_n, _request, response) => response.writeHead(302, { location: where() }).end(), tls);

  it("may be elsewhere, with encryption or without as it was asked for", async () => {
    await using end = await imageServer((_n, _request, response) => response.end("text"), identity);
    await using secure = await leadsTo(() => end.url("/it"), identity);
    await using plain = await leadsTo(() => secure.url("/it"));
    expect(await fetched(secure.url("/"))).to.equal("text");
    expect(await fetched(plain.url("/"))).to.equal("text");
  });

  it("is never asked for without encryption on the way from https, not for one step", async () => {
    await using end = await imageServer((_n, _request, response) => response.end("text"), identity);
    await using plain = await leadsTo(() => end.url("/it"));
    await using secure = await leadsTo(() => plain.url("/it"), identity);
    expect(await fetched(secure.url("/"))).to.equal("DOWNLOAD_FAILED: it redirects to an unencrypted URL");
    expect(plain.seen).to.deep.equal([]);
  });

  it("is not looked for outside of HTTP, nor in a circle for ever", async () => {
    await using out = await leadsTo(() => "file:///etc/hostname");
    expect(await fetched(out.url("/"))).to.equal("DOWNLOAD_FAILED: it redirects to file:");
    await using circle: ImageServer = await leadsTo(() => circle.url("/again"));
    expect(await fetched(circle.url("/"))).to.equal("DOWNLOAD_FAILED: it redirects more than 20 times");
  });
});

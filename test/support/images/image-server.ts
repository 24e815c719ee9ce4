import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";

/** One request as the server saw it. */
export interface Seen {
  readonly path: string;
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
}

/** A server's key and certificate, in PEM. */
export interface Identity {
  readonly key: string;
  readonly cert: string;
}

/** What the server does with its n-th request, from 0 on. */
export type Answer = (n: number, request: IncomingMessage, response: ServerResponse) => void;

export interface ImageServer extends AsyncDisposable {
  url(path: string, hash?: string): string;
  readonly seen: readonly Seen[];
}

/** An HTTP server on a free port of this host that answers as a test wants; with `tls` one of HTTPS. */
export async function imageServer(answer: Answer, tls?: Identity): Promise<ImageServer> {
  const seen: Seen[] = [];
  const serve: RequestListener = (request, response) => {
    const { range, "if-range": ifRange } = request.headers;
    seen.push({
      path: request.url ?? "",
      range,
      ifRange: ifRange === undefined ? undefined : String(ifRange),
    });
    answer(seen.length - 1, request, response);
  };
  const server = tls === undefined ? createServer(serve) : createSecureServer(tls, serve);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    seen,
    url: (path, hash) =>
      `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}${path}${hash === undefined ? "" : `#sha256=${hash}`}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Sends what was asked for of a file, with ranges; cut after `cut` bytes of it where that is given. */
export function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  bytes: Buffer,
  o: { readonly tag?: string; readonly cut?: number } = {},
): void {
  const { tag = '"one"', cut } = o;
  const from = /^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1];
  const same = request.headers["if-range"] === undefined || request.headers["if-range"] === tag;
  const start = from !== undefined && same ? Number(from) : 0;
  const partial = from !== undefined && same;
  response.writeHead(partial ? 206 : 200, {
    etag: tag,
    "content-length": bytes.length - start,
    ...(partial ? { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {}),
  });
  if (cut === undefined) {
    response.end(bytes.subarray(start));
  }
  // The callback comes when the bytes are with the kernel: the client gets them, and then the reset.
  else {
    response.write(bytes.subarray(start, start + cut), () => response.socket?.end(() => response.destroy()));
  }
}

/** A product as a test wants it published; what is not given is that of Ubuntu 24.04. */
export interface Product {
  readonly id?: string;
  readonly os?: string;
  readonly release?: string;
  readonly title?: string;
  readonly version?: string;
  readonly aliases?: string;
  readonly arch?: string;
  readonly supported?: boolean;
  /** By their names, such as "20260821". */
  readonly versions: Readonly<
    Record<string, { readonly path: string; readonly size: number; readonly sha256: string }>
  >;
  readonly ftype?: string;
}

/**
 * The files of a simplestreams server in the layout of Ubuntu's cloud images: an index that names lists of
 * disks and of other things, products of several architectures, versions with more files than the disk.
 */
export function catalogueFiles(products: readonly Product[]): Record<string, string> {
  const list = "streams/v1/com.ubuntu.cloud:released:download.json";
  const index = {
    "com.ubuntu.cloud:released:aws": {
      datatype: "image-ids",
      format: "products:1.0",
      path: "streams/v1/com.ubuntu.cloud:released:aws.json",
      products: ["com.ubuntu.cloud:server:24.04:amd64"],
    },
    "com.ubuntu.cloud:released:download": {
      datatype: "image-downloads",
      format: "products:1.0",
      path: list,
      products: products.map(idOf),
      updated: "Fri, 21 Aug 2026 14:31:05 +0000",
    },
  };
  const entries = products.flatMap((product) =>
    ["amd64", "s390x"].map((arch) => [idOf({ arch, ...product }), productOf({ arch, ...product })]),
  );
  const updated = "Fri, 21 Aug 2026 14:31:05 +0000";
  return {
    "/streams/v1/index.json": JSON.stringify({ format: "index:1.0", index, updated }, null, 1),
    [`/${list}`]: JSON.stringify({
      content_id: "com.ubuntu.cloud:released:download",
      creator: "vmtest",
      datatype: "image-downloads",
      format: "products:1.0",
      license: "http://www.canonical.com/intellectual-property-policy",
      products: Object.fromEntries(entries),
      updated,
    }),
  };
}

function idOf({ id, version = "24.04", arch = "amd64" }: Partial<Product>): string {
  return id ?? `com.ubuntu.cloud:server:${version}:${arch}`;
}

function productOf(product: Product) {
  const {
    os = "ubuntu",
    release = "noble",
    title = "24.04 LTS",
    version = "24.04",
    arch = "amd64",
  } = product;
  const { aliases = "24.04,default,lts,n,noble", supported = true, ftype = "disk1.img" } = product;
  const versions = Object.entries(product.versions).map(([name, disk]) => [
    name,
    {
      items: {
        "lxd.tar.xz": { ftype: "lxd.tar.xz", path: "lxd.tar.xz", size: 400, sha256: "0".repeat(64) },
        [ftype]: { ftype, md5: "0".repeat(32), ...disk },
        manifest: { ftype: "manifest", path: `${disk.path}.manifest`, size: 17000, sha256: "1".repeat(64) },
      },
      label: "release",
      pubname: `ubuntu-${release}-${version}-${arch}-server-${name}`,
    },
  ]);
  return {
    aliases,
    arch,
    os,
    release,
    release_codename: "Noble Numbat",
    release_title: title,
    support_eol: "2029-05-31",
    supported,
    version,
    versions: Object.fromEntries(versions),
  };
}

/** Answers with files by their paths, the others are not found. What a test changes in it counts at once. */
export function fromFiles(files: Readonly<Record<string, string | Buffer>>): Answer {
  return (_, request, response) => {
    const found = files[request.url ?? ""];
    if (found === undefined) {
      response.writeHead(404).end();
    } else {
      sendFile(request, response, Buffer.from(found));
    }
  };
}

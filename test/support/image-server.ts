import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** One request as the server saw it. */
export interface Seen {
  readonly path: string;
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
}

/** What the server does with its n-th request, from 0 on. */
export type Answer = (n: number, request: IncomingMessage, response: ServerResponse) => void;

export interface ImageServer extends AsyncDisposable {
  url(path: string, hash?: string): string;
  readonly seen: readonly Seen[];
}

/** An HTTP server on a free port of this host that answers as a test wants. */
export async function imageServer(answer: Answer): Promise<ImageServer> {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    const { range, "if-range": ifRange } = request.headers;
    seen.push({
      path: request.url ?? "",
      range,
      ifRange: ifRange === undefined ? undefined : String(ifRange),
    });
    answer(seen.length - 1, request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    seen,
    url: (path, hash) => `http://127.0.0.1:${port}${path}${hash === undefined ? "" : `#sha256=${hash}`}`,
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
  if (cut === undefined) response.end(bytes.subarray(start));
  // The callback comes when the bytes are with the kernel: the client gets them, and then the reset.
  else
    response.write(bytes.subarray(start, start + cut), () => response.socket?.end(() => response.destroy()));
}

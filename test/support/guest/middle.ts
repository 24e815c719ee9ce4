import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { SshServer } from "./ssh-server.ts";

export interface Middle extends AsyncDisposable {
  readonly endpoint: { readonly host: string; readonly port: number };
  /** Nothing gets through any more, as where a guest hangs. */
  freeze(): void;
  /** Resets both connections, as a guest may that goes down. */
  reset(): void;
}

/** Stands before a server and hides from each side that the other has hung up, as a guest whose power was cut. */
export async function middle({ host, port }: SshServer["endpoint"]): Promise<Middle> {
  const halves: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ host, port, allowHalfOpen: true });
    near.pipe(far, { end: false });
    far.pipe(near, { end: false });
    halves.push(near, far);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    endpoint: { host, port: (server.address() as AddressInfo).port },
    freeze() {
      for (const half of halves) {
        half.unpipe();
      }
    },
    reset() {
      for (const half of halves) {
        half.resetAndDestroy();
      }
    },
    async [Symbol.asyncDispose]() {
      for (const half of halves) {
        half.destroy();
      }
      server.close();
    },
  };
}

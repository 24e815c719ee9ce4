import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import ssh2 from "ssh2";
import { makeKeyPair } from "../../../lib/guest/keys.ts";

export interface SshServer extends AsyncDisposable {
  readonly endpoint: { readonly host: string; readonly port: number };
  /** The host key as `type base64`. */
  readonly hostKey: string;
  /** What clients did, in order: `auth METHOD`, `exec`, `signal NAME`, `window COLUMNSxROWS`, `ended NAME`, `tcpip HOST:PORT`. */
  readonly seen: string[];
  /** Asks every client for new keys, as servers do once in a gigabyte. */
  rekey(): void;
  /** Ends every connection, as a guest does whose power is cut. */
  cut(): void;
  /** Resolves when something is in `seen`. */
  until(what: string): Promise<void>;
  /** Accepts another key from now on. */
  letIn(keys: Keys): void;
  /** Runs no command any more, as OpenSSH where the user's password has expired. */
  expire(): void;
  /** Resolves when every client has hung up. */
  left(): Promise<void>;
}

export type Keys = ReturnType<typeof makeKeyPair>;

/**
 * An sshd on a free port of this host that lets one key in and runs commands with this host's shell. A signal
 * reaches all processes of a command, as OpenSSH has it, or its shell alone, as dropbear has it.
 */
export async function sshServer(accepted: Keys, signals: "group" | "shell" = "group"): Promise<SshServer> {
  const host = makeKeyPair();
  const seen: string[] = [];
  const connections = new Set<ssh2.Connection>();
  const blobOf = (keys: Keys) => keys.public.split(" ")[1];
  let allowed = blobOf(accepted);
  let expired = false;
  const server = new ssh2.Server({ hostKeys: [host.private] }, (connection) => {
    connections.add(connection);
    // As sshd has it.
    if ("setNoDelay" in connection && typeof connection.setNoDelay === "function") {
      connection.setNoDelay(true);
    }
    connection.on("error", () => {});
    connection.on("close", () => connections.delete(connection));
    connection.on("authentication", (context) => {
      seen.push(`auth ${context.method}`);
      if (context.method === "publickey" && context.key.data.toString("base64") === allowed) {
        context.accept();
      } else {
        context.reject(["publickey"]);
      }
    });
    connection.on("tcpip", (accept, reject, { destIP, destPort }) => {
      seen.push(`tcpip ${destIP}:${destPort}`);
      const far = connect(destPort, destIP);
      far.once("error", () => reject());
      far.once("connect", () => {
        const channel = accept();
        channel.on("error", () => far.destroy());
        far.on("error", () => channel.end());
        channel.pipe(far).pipe(channel);
      });
    });
    connection.on("session", (accept) => serve(accept(), seen, signals, () => expired));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: { host: "127.0.0.1", port },
    hostKey: host.public.split(" ").slice(0, 2).join(" "),
    seen,
    rekey() {
      for (const connection of connections) {
        connection.rekey();
      }
    },
    letIn(keys) {
      allowed = blobOf(keys);
    },
    expire() {
      expired = true;
    },
    cut() {
      for (const connection of connections) {
        connection.end();
      }
    },
    async until(what) {
      while (!seen.includes(what)) {
        await turn();
      }
    },
    async left() {
      await Promise.all([...connections].map((connection) => once(connection, "close")));
    },
    async [Symbol.asyncDispose]() {
      for (const connection of connections) {
        connection.end();
      }
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function serve(
  session: ssh2.Session,
  seen: string[],
  signals: "group" | "shell",
  expired: () => boolean,
): void {
  // As sshd has it: whose input has ended is still told signals.
  session.on("eof", () => {
    if ("_ending" in session) {
      session._ending = false;
    }
  });
  session.on("pty", (accept) => accept?.());
  session.on("window-change", (accept, _, { cols, rows }) => {
    seen.push(`window ${cols}x${rows}`);
    accept?.();
  });
  session.on("exec", (accept, _, { command }) => {
    seen.push("exec");
    const channel = accept();
    if (expired()) {
      channel.stderr.write("Password change required but no TTY available.\n");
      channel.exit(1);
      channel.end();
      return;
    }
    const child = spawn("bash", ["-c", command], { detached: true });
    const kill = (name: NodeJS.Signals) =>
      child.pid !== undefined && process.kill(signals === "group" ? -child.pid : child.pid, name);
    session.on("signal", (_, __, { name }) => {
      seen.push(`signal ${name}`);
      kill(`SIG${name}` as NodeJS.Signals);
    });
    child.stdin.on("error", () => {});
    channel.pipe(child.stdin);
    child.stdout.pipe(channel, { end: false });
    child.stderr.pipe(channel.stderr, { end: false });
    child.on("close", (code, signal) => {
      seen.push(`ended ${signal ?? code}`);
      if (signal === null) {
        channel.exit(code ?? 0);
      } else {
        channel.exit(signal.replace(/^SIG/, ""));
      }
      channel.end();
    });
  });
}

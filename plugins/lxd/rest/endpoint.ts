import { createHash } from "node:crypto";
import { access, constants } from "node:fs/promises";
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import tls from "node:tls";
import { failure, type StrataError } from "../../../lib/errors.ts";

/** Where a server listens, and how to connect to it. */
export interface Endpoint {
  /** For messages: the path of a socket or a URL. */
  readonly name: string;
  readonly secure: boolean;
  /** Keeps connections; nothing is sent on one that is not to the pinned server. */
  readonly agent: HttpAgent | HttpsAgent;
  readonly host: string;
}

/** A client certificate and its key, PEM. */
export interface Identity {
  readonly certificate: string;
  readonly key: string;
}

/** Time-out of a connection, ms. */
const CONNECT_TIMEOUT_MS = 5000;

export function socketEndpoint(path: string): Endpoint {
  return {
    name: path,
    secure: false,
    host: "localhost",
    agent: new SocketAgent(path),
  };
}

class SocketAgent extends HttpAgent {
  readonly #path: string;

  constructor(path: string) {
    super({ keepAlive: true });
    this.#path = path;
  }

  override createConnection(): Duplex {
    return connect(this.#path);
  }
}

/**
 * A server over TLS. Its certificate is self-signed, so it is identified only by its fingerprint;
 * `fingerprint` is the SHA-256 of the certificate in hex. Members of a cluster share one.
 */
export function tlsEndpoint(url: URL, identity: Identity, fingerprint: string): Endpoint {
  return {
    name: url.origin,
    secure: true,
    host: url.host,
    agent: new PinnedAgent(url, identity, fingerprint),
  };
}

class PinnedAgent extends HttpsAgent {
  readonly #url: URL;
  readonly #identity: Identity;
  readonly #fingerprint: string;

  constructor(url: URL, identity: Identity, fingerprint: string) {
    super({ keepAlive: true });
    this.#url = url;
    this.#identity = identity;
    this.#fingerprint = fingerprint;
  }

  override createConnection(
    _options: unknown,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const socket = tls.connect({
      host: this.#url.hostname.replace(/^\[(.*)\]$/, "$1"),
      port: Number(this.#url.port || 443),
      cert: this.#identity.certificate,
      key: this.#identity.key,
      minVersion: "TLSv1.2",
      // The certificate is self-signed, so its fingerprint is checked before anything is sent.
      rejectUnauthorized: false,
    });
    const timer = setTimeout(
      () => socket.destroy(new Error(`no connection within ${CONNECT_TIMEOUT_MS} ms`)),
      CONNECT_TIMEOUT_MS,
    );
    const finish = (error: Error | null) => {
      clearTimeout(timer);
      socket.removeListener("error", finish);
      callback?.(error, socket);
    };
    socket.once("error", finish);
    socket.once("secureConnect", () => {
      const error = pinFailure(this.#url, socket.getPeerX509Certificate()?.raw, this.#fingerprint);
      if (error !== undefined) {
        socket.destroy();
      }
      finish(error ?? null);
    });
    return undefined;
  }
}

/** Why a server with that certificate is refused; undefined if it is the pinned one. */
export function pinFailure(
  url: URL,
  certificate: Buffer | undefined,
  pinned: string,
): StrataError | undefined {
  const seen = certificate === undefined ? "none" : createHash("sha256").update(certificate).digest("hex");
  if (seen === pinned.toLowerCase()) {
    return undefined;
  }
  const advice = "compare it with the server's own, which `lxc info` on it shows";
  const reason =
    pinned === ""
      ? `the certificate of ${url.origin} is not pinned; its fingerprint is ${seen}: ${advice}, then: strata set local.lxd.fingerprint=${seen}`
      : `the certificate of ${url.origin} has the fingerprint ${seen}, not the pinned ${pinned}; nothing was sent to it`;
  return failure("PERMISSION_DENIED", { reason });
}

/** Sockets of LXD (deb, snap) and Incus, in search order. */
function usualSockets(): string[] {
  const { LXD_SOCKET, LXD_DIR, INCUS_SOCKET, INCUS_DIR } = process.env;
  return [
    ...[LXD_SOCKET, INCUS_SOCKET].filter((path) => path !== undefined),
    ...[LXD_DIR, INCUS_DIR].filter((folder) => folder !== undefined).map((folder) => `${folder}/unix.socket`),
    "/var/lib/lxd/unix.socket",
    "/var/snap/lxd/common/lxd/unix.socket",
    "/var/lib/incus/unix.socket",
    "/run/incus/unix.socket",
  ];
}

/** The first of these sockets that exists; that of Debian's LXD if none does. */
export async function defaultSocket(): Promise<string> {
  const paths = usualSockets();
  for (const path of paths) {
    const there = await access(path, constants.F_OK).then(
      () => true,
      () => false,
    );
    if (there) {
      return path;
    }
  }
  return paths[0] ?? "";
}

import { createHash } from "node:crypto";
import { access, constants } from "node:fs/promises";
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import tls from "node:tls";
import { failure, type StrataError } from "../../../lib/errors.ts";
import { FLAVOURS, type Flavour } from "../flavour.ts";

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
export function tlsEndpoint(flavour: Flavour, url: URL, identity: Identity, fingerprint: string): Endpoint {
  return {
    name: url.origin,
    secure: true,
    host: url.host,
    agent: new PinnedAgent(flavour, url, identity, fingerprint),
  };
}

class PinnedAgent extends HttpsAgent {
  readonly #flavour: Flavour;
  readonly #url: URL;
  readonly #identity: Identity;
  readonly #fingerprint: string;

  constructor(flavour: Flavour, url: URL, identity: Identity, fingerprint: string) {
    super({ keepAlive: true });
    this.#flavour = flavour;
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
      const error = pinFailure(
        this.#flavour,
        this.#url,
        socket.getPeerX509Certificate()?.raw,
        this.#fingerprint,
      );
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
  { name, client }: Flavour,
  url: URL,
  certificate: Buffer | undefined,
  pinned: string,
): StrataError | undefined {
  const seen = certificate === undefined ? "none" : createHash("sha256").update(certificate).digest("hex");
  if (seen === pinned.toLowerCase()) {
    return undefined;
  }
  const advice = `compare it with the server's own, which \`${client} info\` on it shows`;
  const reason =
    pinned === ""
      ? `the certificate of ${url.origin} is not pinned; its fingerprint is ${seen}: ${advice}, then: strata set local.${name}.fingerprint=${seen}`
      : `the certificate of ${url.origin} has the fingerprint ${seen}, not the pinned ${pinned}; nothing was sent to it`;
  return failure("PERMISSION_DENIED", { reason });
}

/** Where the server's socket may be, in search order. */
function usualSockets({ sockets, variables }: Flavour): string[] {
  const { [variables.socket]: socket, [variables.folder]: folder } = process.env;
  return [
    ...(socket === undefined ? [] : [socket]),
    ...(folder === undefined ? [] : [`${folder}/unix.socket`]),
    ...sockets,
  ];
}

async function findSocket(flavour: Flavour): Promise<string | undefined> {
  for (const path of usualSockets(flavour)) {
    if (await exists(path)) {
      return path;
    }
  }
  return undefined;
}

function exists(path: string): Promise<boolean> {
  return access(path, constants.F_OK).then(
    () => true,
    () => false,
  );
}

/**
 * The first of the usual sockets that exists; if none does, the first of them. Rejects where the other server runs
 * here and this one does not.
 */
export async function defaultSocket(flavour: Flavour): Promise<string> {
  const found = await findSocket(flavour);
  if (found !== undefined) {
    return found;
  }
  for (const other of FLAVOURS.filter((each) => each !== flavour)) {
    const path = await findSocket(other);
    if (path !== undefined) {
      const reason = `it does not run on this host, but ${other.title} does: strata set local.driver=${other.name}`;
      throw failure("ENGINE_UNAVAILABLE", { engine: flavour.title, reason });
    }
  }
  return usualSockets(flavour)[0] ?? "";
}

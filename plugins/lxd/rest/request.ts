import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import WebSocket from "ws";
import { failure, isStrataError, reasonOf } from "../../../lib/errors.ts";
import type { Endpoint } from "./endpoint.ts";
import { LxdConnectionError, LxdError } from "./errors.ts";
import { answerShape } from "./shapes.ts";

/** An answer of LXD that is not an error. */
export interface Answer {
  readonly type: "sync" | "async";
  readonly metadata: unknown;
  readonly etag: string;
}

/** Opens a request, which is sent by its `end`. */
export function openRequest(
  endpoint: Endpoint,
  method: string,
  path: string,
  options: { readonly etag?: string; readonly signal?: AbortSignal },
  headers: Readonly<Record<string, string>>,
): ClientRequest {
  const { etag, signal } = options;
  const make = endpoint.secure ? httpsRequest : httpRequest;
  return make({
    agent: endpoint.agent,
    method,
    path,
    headers: {
      Host: endpoint.host,
      "User-Agent": "strata",
      ...headers,
      ...(etag === undefined ? {} : { "If-Match": etag }),
    },
    ...(signal === undefined ? {} : { signal }),
  });
}

interface Reply<T> {
  readonly status: number;
  readonly etag: string;
  readonly body: T;
}

/** The answer to a request, read; rejects with LxdConnectionError, which says whether it may have been sent. */
export async function answered<T>(
  endpoint: Endpoint,
  request: ClientRequest,
  signal: AbortSignal | undefined,
  read: (response: IncomingMessage) => Promise<T>,
): Promise<Reply<T>> {
  let sent = false;
  request.on("socket", (socket) => {
    if (request.reusedSocket || !socket.connecting) {
      sent = true;
    } else {
      socket.once("connect", () => (sent = true));
    }
  });
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request.once("response", resolve);
      request.on("error", reject);
    });
    const body = await read(response);
    return { status: response.statusCode ?? 0, etag: response.headers.etag ?? "", body };
  } catch (error) {
    if (signal?.aborted) {
      throw failure("CANCELLED", {}, signal.reason);
    }
    if (isStrataError(error)) {
      throw error;
    }
    throw new LxdConnectionError(`${endpoint.name}: ${reasonOf(error)}`, sent, error);
  }
}

export function readAnswer({ status, etag, body }: Reply<unknown>): Answer {
  const { type, error, error_code, metadata } = answerShape.parse(body);
  if (type === "error") {
    throw new LxdError(error_code || status, error);
  }
  return { type, metadata, etag };
}

/** An open websocket that is paused. */
export function openSocket(endpoint: Endpoint, path: string): Promise<WebSocket> {
  const scheme = endpoint.secure ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${endpoint.host}${path}`, {
    agent: endpoint.agent,
    perMessageDeflate: false,
    maxPayload: 16 * 1024 * 1024,
    // LXD pings without waiting for an answer. Answering after the other end has closed would break the
    // connection, and lose what it sent before and we have not read yet.
    autoPong: false,
  });
  return new Promise((resolve, reject) => {
    socket.once("open", () => {
      // What arrives before there is a listener would be lost.
      socket.pause();
      resolve(socket);
    });
    socket.once("error", (error) =>
      reject(
        isStrataError(error)
          ? error
          : new LxdConnectionError(`${endpoint.name}: ${error.message}`, false, error),
      ),
    );
  });
}

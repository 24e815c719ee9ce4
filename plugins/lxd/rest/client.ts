import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Readable } from "node:stream";
import { json as readJson, text as readText } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import WebSocket from "ws";
import type { z } from "zod";
import type { Context } from "../../../lib/engine/contract.ts";
import { failure, isStrataError, reasonOf } from "../../../lib/errors.ts";
import { WAIT_TIMED_OUT } from "../messages.ts";
import type { Endpoint } from "./endpoint.ts";
import { LxdConnectionError, LxdError } from "./errors.ts";
import { answerShape, type Operation, operationShape } from "./shapes.ts";

export type Query = Readonly<Record<string, string | undefined>>;

export interface RequestOptions {
  readonly query?: Query;
  /** Only where the thing still has this tag; LxdError 412 where it has not. */
  readonly etag?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** What a call that may take long gets: an operation is cancelled by the signal where LXD can. */
export type RunOptions = RequestOptions & Partial<Pick<Context, "progress">>;

/** LXD's REST API. Rejects with LxdError, LxdConnectionError, or a StrataError of ours. */
export interface Client extends AsyncDisposable {
  /** Where the last answer came from. */
  readonly endpoint: () => Endpoint;
  get<T>(path: string, shape: z.ZodType<T>, options?: RequestOptions): Promise<{ value: T; etag: string }>;
  /** What is no JSON, such as a log. */
  text(path: string): Promise<string>;
  /** A change that is made when the answer comes, or an operation that is waited for. */
  run(method: Method, path: string, body: unknown, options?: RunOptions): Promise<Operation | undefined>;
  /** Starts an operation and does not wait for it. */
  start(method: Method, path: string, body: unknown, options?: RequestOptions): Promise<Operation>;
  wait(operation: string, options?: RunOptions): Promise<Operation>;
  /** Sends a file's bytes; waits for the operation that takes them in. */
  upload(path: string, body: Readable, options: RunOptions & { readonly size: bigint }): Promise<void>;
  /** An open websocket that is paused: resume it once there are listeners. */
  socket(path: string, query?: Query): Promise<WebSocket>;
}

export type Method = "POST" | "PUT" | "PATCH" | "DELETE";

interface Answer {
  readonly type: "sync" | "async";
  readonly metadata: unknown;
  readonly etag: string;
}

/** How long one wait for an operation lasts before its progress is looked at, s. */
const POLL_SECONDS = 1;

/** A client of a server that may be reached at several places; `project` "" is the server's default. */
export function openClient(endpoints: readonly Endpoint[], project: string): Client {
  let at = 0;
  const current = (): Endpoint => {
    const endpoint = endpoints[at];
    if (endpoint === undefined) {
      throw failure("INTERNAL", { reason: "a client without a server" });
    }
    return endpoint;
  };
  const target = (path: string, query: Query = {}): string => {
    const search = new URLSearchParams();
    for (const [key, value] of Object.entries({ ...query, project: project || undefined })) {
      if (value !== undefined) {
        search.set(key, value);
      }
    }
    return search.size === 0 ? path : `${path}?${search}`;
  };

  /** Tries one place after the other while none is reached; what was sent is never sent twice. */
  const reach = async <T>(work: (endpoint: Endpoint) => Promise<T>): Promise<T> => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work(current());
      } catch (error) {
        if (!(error instanceof LxdConnectionError) || error.lost || attempt >= endpoints.length) {
          throw error;
        }
        at = (at + 1) % endpoints.length;
      }
    }
  };

  const call = (
    method: Method | "GET",
    path: string,
    body: unknown,
    options: RequestOptions = {},
  ): Promise<Answer> =>
    reach(async (endpoint) => {
      const text = body === undefined ? undefined : JSON.stringify(body);
      const request = open(endpoint, method, target(path, options.query), options, {
        ...(text === undefined ? {} : { "Content-Type": "application/json" }),
      });
      const answer = answered(endpoint, request, options.signal, readJson);
      request.end(text);
      return readAnswer(await answer);
    });

  /** How far an operation is: at its end, or when the time for a look is up. */
  const look = async (path: string): Promise<Operation> => {
    const query = { timeout: String(POLL_SECONDS) };
    const answer = await call("GET", `${path}/wait`, undefined, { query }).catch((error: unknown) => {
      // Incus fails then, where LXD 5.0 tells what there is.
      if (!(error instanceof LxdError) || !WAIT_TIMED_OUT.test(error.message)) {
        throw error;
      }
      return call("GET", path, undefined);
    });
    return operationShape.parse(answer.metadata);
  };

  const wait = async (id: string, options: RunOptions = {}): Promise<Operation> => {
    const { signal, progress } = options;
    const path = `/1.0/operations/${encodeURIComponent(id)}`;
    let asked = false;
    for (;;) {
      if (signal?.aborted && !asked) {
        asked = true;
        // Most of LXD's operations cannot be cancelled; they are waited for, so that their outcome is known.
        await call("DELETE", path, undefined).catch(() => {});
      }
      const operation = await look(path);
      if (operation.status_code >= 200) {
        if (operation.status_code === 200) {
          return operation;
        }
        if (signal?.aborted) {
          throw failure("CANCELLED", {}, signal.reason);
        }
        throw new LxdError(0, operation.err || operation.status);
      }
      progress?.({ phase: phaseOf(operation) ?? "Waiting for LXD" });
    }
  };

  const started = (answer: Answer): Operation | undefined =>
    answer.type === "async" ? operationShape.parse(answer.metadata) : undefined;

  return {
    endpoint: current,
    async get(path, shape, options) {
      const { metadata, etag } = await call("GET", path, undefined, options);
      return { value: shape.parse(metadata), etag };
    },
    text: (path) =>
      reach(async (endpoint) => {
        const request = open(endpoint, "GET", target(path), {}, {});
        const answer = answered(endpoint, request, undefined, readText);
        request.end();
        const { status, body } = await answer;
        if (status !== 200) {
          throw new LxdError(status, body);
        }
        return body;
      }),
    async run(method, path, body, options = {}) {
      options.signal?.throwIfAborted();
      const { signal: _, ...rest } = options;
      const operation = started(await call(method, path, body, rest));
      return operation === undefined ? undefined : wait(operation.id, options);
    },
    async start(method, path, body, options) {
      const operation = started(await call(method, path, body, options));
      if (operation === undefined) {
        throw new LxdError(0, `${method} ${path} has started no operation`);
      }
      return operation;
    },
    wait,
    upload: (path, body, options) =>
      reach(async (endpoint) => {
        const headers = {
          "Content-Type": "application/octet-stream",
          ...options.headers,
          "Content-Length": String(options.size),
        };
        const request = open(endpoint, "POST", target(path, options.query), options, headers);
        const answer = answered(endpoint, request, options.signal, readJson);
        answer.catch(() => {});
        // A server that refuses hangs up before it has read all: its answer tells more than the broken pipe.
        await pipeline(body, request).catch(async (error: unknown) => {
          await answer;
          throw error;
        });
        const operation = started(readAnswer(await answer));
        if (operation !== undefined) {
          await wait(operation.id, options);
        }
      }),
    socket: (path, query) => reach((endpoint) => openSocket(endpoint, target(path, query))),
    async [Symbol.asyncDispose]() {
      for (const { agent } of endpoints) {
        agent.destroy();
      }
    },
  };
}

/** Such as "create_instance_from_image_unpack_progress: Unpack: 42% (30MB/s)", as a phrase. */
function phaseOf({ metadata }: Operation): string | undefined {
  for (const [key, value] of Object.entries(metadata)) {
    if (key.endsWith("_progress") && typeof value === "string") {
      return value;
    }
  }
  return undefined;
}

function open(
  endpoint: Endpoint,
  method: string,
  path: string,
  options: RequestOptions,
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

async function answered<T>(
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
    const reason = reasonOf(error);
    throw new LxdConnectionError(`${endpoint.name}: ${reason}`, sent, error);
  }
}

function readAnswer({ status, etag, body }: Reply<unknown>): Answer {
  const { type, error, error_code, metadata } = answerShape.parse(body);
  if (type === "error") {
    throw new LxdError(error_code || status, error);
  }
  return { type, metadata, etag };
}

function openSocket(endpoint: Endpoint, path: string): Promise<WebSocket> {
  const scheme = endpoint.secure ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${endpoint.host}${path}`, {
    agent: endpoint.agent,
    perMessageDeflate: false,
    maxPayload: 16 * 1024 * 1024,
    // LXD pings and waits for no answer. One sent to an end that has closed already would break the
    // connection, and with it what that end had sent before and nobody has read yet.
    autoPong: false,
  });
  return new Promise((resolve, reject) => {
    socket.once("open", () => {
      // What arrives before anybody listens would be lost.
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

import type { Readable } from "node:stream";
import { json as readJson, text as readText } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import type WebSocket from "ws";
import type { z } from "zod";
import type { Context } from "../../../lib/engine/contract.ts";
import { tracedCall } from "../../../lib/util/trace.ts";
import type { Endpoint } from "./endpoint.ts";
import { LxdError } from "./errors.ts";
import { failover } from "./failover.ts";
import { started, waitFor } from "./operations.ts";
import { type Answer, answered, openRequest, openSocket, readAnswer } from "./request.ts";
import type { Operation } from "./shapes.ts";

export type Query = Readonly<Record<string, string | undefined>>;

export interface RequestOptions {
  readonly query?: Query;
  /** Only if the object still has this tag; otherwise LxdError 412. */
  readonly etag?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** Options of a call that may take long: the signal cancels an operation if LXD can. */
export type RunOptions = RequestOptions & Partial<Pick<Context, "progress">>;

/** LXD's REST API. Rejects with LxdError, LxdConnectionError, or a StrataError of ours. */
export interface Client extends AsyncDisposable {
  /** The endpoint of the last answer. */
  readonly endpoint: () => Endpoint;
  get<T>(path: string, shape: z.ZodType<T>, options?: RequestOptions): Promise<{ value: T; etag: string }>;
  /** Gets a text that is not JSON, such as a log. */
  text(path: string): Promise<string>;
  /** Makes a change that is complete when the answer comes, or waits for the operation that it starts. */
  run(method: Method, path: string, body: unknown, options?: RunOptions): Promise<Operation | undefined>;
  /** Starts an operation and does not wait for it. */
  start(method: Method, path: string, body: unknown, options?: RequestOptions): Promise<Operation>;
  wait(operation: string, options?: RunOptions): Promise<Operation>;
  /** Sends a file; waits for the operation that imports it. */
  upload(path: string, body: Readable, options: RunOptions & { readonly size: bigint }): Promise<void>;
  /** An open websocket that is paused: resume it once there are listeners. */
  socket(path: string, query?: Query): Promise<WebSocket>;
}

export type Method = "POST" | "PUT" | "PATCH" | "DELETE";

/** A client of a server with one or more endpoints; `project` "" is the server's default. */
export function openClient(endpoints: readonly Endpoint[], project: string): Client {
  const { current, reach } = failover(endpoints);
  const target = (path: string, query: Query = {}) =>
    withQuery(path, { ...query, project: project || undefined });

  const call = (
    method: Method | "GET",
    path: string,
    body: unknown,
    options: RequestOptions = {},
  ): Promise<Answer> =>
    tracedCall(`${method} ${path}`, () =>
      reach(async (endpoint) => {
        const text = body === undefined ? undefined : JSON.stringify(body);
        const headers = text === undefined ? {} : { "Content-Type": "application/json" };
        const request = openRequest(endpoint, method, target(path, options.query), options, headers);
        const answer = answered(endpoint, request, options.signal, readJson);
        request.end(text);
        return readAnswer(await answer);
      }),
    );

  const wait = (operation: string, options?: RunOptions) =>
    waitFor((method, path, query = {}) => call(method, path, undefined, { query }), operation, options);

  return {
    endpoint: current,
    async get(path, shape, options) {
      const { metadata, etag } = await call("GET", path, undefined, options);
      return { value: shape.parse(metadata), etag };
    },
    text: (path) => reach((endpoint) => getText(endpoint, target(path))),
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
    async upload(path, body, options) {
      const answer = await reach((endpoint) => send(endpoint, target(path, options.query), body, options));
      const operation = started(answer);
      if (operation !== undefined) {
        await wait(operation.id, options);
      }
    },
    socket: (path, query) => reach((endpoint) => openSocket(endpoint, target(path, query))),
    async [Symbol.asyncDispose]() {
      for (const { agent } of endpoints) {
        agent.destroy();
      }
    },
  };
}

function withQuery(path: string, query: Query): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined) {
      search.set(key, value);
    }
  }
  return search.size === 0 ? path : `${path}?${search}`;
}

async function getText(endpoint: Endpoint, path: string): Promise<string> {
  const request = openRequest(endpoint, "GET", path, {}, {});
  const answer = answered(endpoint, request, undefined, readText);
  request.end();
  const { status, body } = await answer;
  if (status !== 200) {
    throw new LxdError(status, body);
  }
  return body;
}

async function send(
  endpoint: Endpoint,
  path: string,
  body: Readable,
  options: RequestOptions & { readonly size: bigint },
): Promise<Answer> {
  const headers = {
    "Content-Type": "application/octet-stream",
    ...options.headers,
    "Content-Length": String(options.size),
  };
  const request = openRequest(endpoint, "POST", path, options, headers);
  const answer = answered(endpoint, request, options.signal, readJson);
  answer.catch(() => {});
  // A server that refuses closes the connection before it has read everything. Its answer says more than the
  // broken pipe.
  await pipeline(body, request).catch(async (error: unknown) => {
    await answer;
    throw error;
  });
  return readAnswer(await answer);
}

import { setTimeout as delay } from "node:timers/promises";
import type WebSocket from "ws";
import type { EngineEvent, EngineState } from "../../../lib/engine/contract.ts";
import type { LxdEngine } from "../engine.ts";
import { eventShape } from "../rest/shapes.ts";
import { findManaged, listManaged } from "./managed.ts";

/** The state of an instance after an action of LXD; other actions change something else. */
const STATES: Readonly<Record<string, EngineState>> = {
  "instance-started": "running",
  "instance-restarted": "running",
  "instance-resumed": "running",
  "instance-stopped": "stopped",
  "instance-shutdown": "stopped",
  "instance-paused": "suspended",
};

/** Interval between attempts to reconnect to a server, ms. */
const RECONNECT_INTERVAL_MS = 1000;

/**
 * LXD's events of all members, as strata's. LXD names instances, and strata has ids: names are looked up once
 * and kept, so that a removed instance can still be reported by its id.
 */
export async function* engineEvents(engine: LxdEngine, signal: AbortSignal): AsyncIterable<EngineEvent> {
  const ids = new Map<string, string>();
  for (let isFirst = true; !signal.aborted; isFirst = false) {
    const socket = await engine.client
      .socket("/1.0/events", { type: "lifecycle" })
      .catch((error: unknown) => {
        if (isFirst || signal.aborted) {
          throw error;
        }
        return undefined;
      });
    if (socket !== undefined) {
      yield* hear(engine, ids, socket, signal);
    }
    if (!signal.aborted) {
      await delay(RECONNECT_INTERVAL_MS, undefined, { signal }).catch(() => {});
    }
  }
}

/** The events of one connection, until it is lost or the signal. */
async function* hear(
  engine: LxdEngine,
  ids: Map<string, string>,
  socket: WebSocket,
  signal: AbortSignal,
): AsyncGenerator<EngineEvent> {
  const close = () => socket.close();
  signal.addEventListener("abort", close, { once: true });
  // Before the instances are listed, so that no event is missed.
  const next = openInbox(socket);
  try {
    for (const managed of await listManaged(engine)) {
      ids.set(managed.name, managed.id);
    }
    yield { at: Date.now(), kind: "resync" };
    while (!signal.aborted) {
      const text = await next();
      if (text === undefined) {
        return;
      }
      const event = await translate(engine, ids, text);
      if (event !== undefined) {
        yield event;
      }
    }
  } finally {
    signal.removeEventListener("abort", close);
    socket.close();
  }
}

/** Keeps the messages of a socket until they are read, one by one; undefined once it has closed. */
function openInbox(socket: WebSocket): () => Promise<string | undefined> {
  const texts: string[] = [];
  let isOpen = true;
  let wake = () => {};
  socket.on("message", (data: Buffer) => {
    texts.push(String(data));
    wake();
  });
  // A failed connection also closes.
  socket.on("error", () => {});
  socket.once("close", () => {
    isOpen = false;
    wake();
  });
  socket.resume();
  return async () => {
    while (isOpen && texts.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return texts.shift();
  };
}

/** Undefined for events that are not about an instance of strata. */
async function translate(
  engine: LxdEngine,
  ids: Map<string, string>,
  text: string,
): Promise<EngineEvent | undefined> {
  const parsed = eventShape.safeParse(JSON.parse(text));
  if (!parsed.success) {
    return undefined;
  }
  const { timestamp, metadata } = parsed.data;
  const { action, source } = metadata;
  const [, , kind = "", encoded = ""] = new URL(source, "http://lxd").pathname.split("/");
  if (kind !== "instances" || !action.startsWith("instance-")) {
    return undefined;
  }
  const name = decodeURIComponent(encoded);
  const at = Date.parse(timestamp);
  const { old_name: former } = metadata.context ?? {};
  if (action === "instance-renamed" && typeof former === "string") {
    ids.delete(former);
  }
  const known = ids.get(name);
  if (action === "instance-deleted") {
    // If the name is used again, or still because the instance was moved, the event does not concern the
    // instance with that name.
    if (known === undefined || (await findManaged(engine, name).catch(() => undefined))?.id === known) {
      return undefined;
    }
    ids.delete(name);
    return { at, kind: "removed", id: known };
  }
  const id = known ?? (await findManaged(engine, name).catch(() => undefined))?.id;
  if (id === undefined) {
    return undefined;
  }
  ids.set(name, id);
  const state = STATES[action];
  return state === undefined ? { at, kind: "changed", id } : { at, kind: "state", id, state };
}

import { once } from "node:events";
import { createServer, isIP, type Server, type Socket } from "node:net";
import { errnoOf, failure, reasonOf } from "../../errors.ts";
import type { Guest } from "../../guest/ssh.ts";
import type { ForwardOptions, PortForward } from "../api/strata.ts";
import { getInstance } from "../instances/instances.ts";
import { unsupported } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { accessTo, login, requireLogin } from "./guest.ts";
import { endpointOf } from "./ssh-logins.ts";

/** Offers a port of an instance on this host, over one ssh connection that is made again where it is lost. */
export async function forward(session: Session, name: string, options: ForwardOptions): Promise<PortForward> {
  const { signal, warn } = contextOf(options);
  const { to, toHost = "localhost", port = to, address = "127.0.0.1" } = options;
  requirePort("the port in the instance", to, 1);
  requirePort("the port of this host", port, 0);
  if (isIP(address) === 0) {
    throw failure("INVALID_VALUE", { what: "the address", value: address, reason: "must be an IP address" });
  }
  await requireSsh(session, name);
  signal.throwIfAborted();

  const line = guestLine(session, name, signal);
  const open = new Set<Socket>();
  let told = "";
  const serve = async (socket: Socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    socket.on("error", () => {});
    try {
      const guest = await line.reach();
      const channel = await guest.dial(toHost, to).catch((error: unknown) => {
        throw new Error(`nothing answers at port ${to} of ${toHost} in "${name}"`, { cause: error });
      });
      told = "";
      // Each side may say that it has sent all and still read; what is broken off ends the other as well.
      channel.on("error", () => socket.destroy());
      channel.on("close", () => socket.destroySoon());
      socket.on("close", () => channel.end());
      socket.pipe(channel).pipe(socket);
    } catch (error) {
      socket.destroy();
      const said = reasonOf(error);
      // A browser tries again and again: each reason is told once.
      if (said !== told && !signal.aborted) {
        told = said;
        warn?.(said);
      }
    }
  };
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => void serve(socket));
  const bound = await listen(server, port, address);
  const closed = once(server, "close").then(() => line.hangUp());
  const close = () => {
    server.close();
    for (const socket of open) {
      socket.destroy();
    }
  };
  signal.addEventListener("abort", close, { once: true });
  return {
    address,
    port: bound,
    closed,
    async [Symbol.asyncDispose]() {
      signal.removeEventListener("abort", close);
      close();
      await closed;
    },
  };
}

function requirePort(what: string, value: number, least: number): void {
  if (!Number.isInteger(value) || value < least || value > 65_535) {
    const reason = `must be a whole number from ${least} to 65535`;
    throw failure("INVALID_VALUE", { what, value: String(value), reason });
  }
}

/** Rejects where there will never be a way in, whether the instance runs or not. */
async function requireSsh(session: Session, name: string): Promise<void> {
  const instance = await getInstance(session, name);
  if ((await accessTo(session, instance)).via === "engine") {
    throw await unsupported(
      session,
      `forwarding ports of "${name}"`,
      "commands run in its instances without ssh",
    );
  }
  await requireLogin(session, instance);
}

/** One connection to a guest for all that is dialled: opened when it is needed, and again where it has ended. */
function guestLine(session: Session, name: string, signal: AbortSignal) {
  let guest: Promise<Guest> | undefined;
  const connect = async (): Promise<Guest> => {
    const instance = await getInstance(session, name);
    const endpoint = await endpointOf(session, instance);
    const { openGuest } = await import("../../guest/ssh.ts");
    const opened = await openGuest({ ...(await login(session, instance, undefined)), endpoint, signal });
    void opened.ended.then(() => {
      guest = undefined;
    });
    return opened;
  };
  return {
    async reach() {
      guest ??= connect().catch((error: unknown) => {
        guest = undefined;
        throw error;
      });
      return guest;
    },
    async hangUp() {
      const opened = await guest?.catch(() => undefined);
      await opened?.[Symbol.asyncDispose]();
    },
  };
}

/** Resolves to the port that was given. */
async function listen(server: Server, port: number, address: string): Promise<number> {
  server.listen(port, address);
  try {
    await once(server, "listening");
  } catch (error) {
    switch (errnoOf(error)) {
      case "EADDRINUSE":
        throw failure("PORT_TAKEN", { port }, error);
      case "EACCES":
        throw failure("PERMISSION_DENIED", { reason: `port ${port}: ports below 1024 are root's` }, error);
      case "EADDRNOTAVAIL":
        throw failure(
          "INVALID_VALUE",
          { what: "the address", value: address, reason: "must be an address of this host" },
          error,
        );
      default:
        throw error;
    }
  }
  const bound = server.address();
  return typeof bound === "object" && bound !== null ? bound.port : port;
}

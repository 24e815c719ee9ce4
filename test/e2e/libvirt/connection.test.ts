import { once } from "node:events";
import { expect } from "chai";
import { encodeFrame, FrameStatus, FrameType } from "../../../plugins/libvirt/rpc/frame.ts";
import { CallTimeoutError, ConnectionLostError, connect } from "../../../plugins/libvirt/rpc/index.ts";
import { domainEvents } from "../../../plugins/libvirt/rpc/procedures/domain-event.ts";
import { procedures } from "../../../plugins/libvirt/rpc/procedures/index.ts";
import { Program } from "../../../plugins/libvirt/rpc/procedures/procedure.ts";
import { remoteError } from "../../../plugins/libvirt/rpc/structures.ts";
import { encode } from "../../../plugins/libvirt/rpc/xdr.ts";
import { type FakeClient, fakeDaemon, replyTo } from "../../support/libvirt/fake-daemon.ts";

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

function client(clients: readonly FakeClient[], at: number): FakeClient {
  const found = clients[at];
  if (found === undefined) {
    throw new Error(`there is no client ${at}`);
  }
  return found;
}

const lifecycle = (callbackID: number, event: number) =>
  encodeFrame({
    program: Program.REMOTE,
    procedure: domainEvents.lifecycle.procedure,
    type: FrameType.MESSAGE,
    serial: 0,
    status: FrameStatus.OK,
    payload: encode(domainEvents.lifecycle.fields, {
      callbackID,
      dom: { name: "d", uuid: "00000000-0000-4000-8000-000000000001", id: 1 },
      event,
      detail: 0,
    }),
  });

/** What a daemon that is still coming up answers to a registration. */
const refusal = (serial: number) =>
  encodeFrame({
    program: Program.REMOTE,
    procedure: procedures.connect_domain_event_callback_register_any.number,
    type: FrameType.REPLY,
    serial,
    status: FrameStatus.ERROR,
    payload: encode(remoteError, {
      code: 1,
      domain: 7,
      message: "not yet",
      level: 2,
      dom: null,
      str1: null,
      str2: null,
      str3: null,
      int1: 0,
      int2: 0,
      net: null,
    }),
  });

describe("a connection to a daemon", () => {
  it("matches replies by serial, whatever their order", async () => {
    await using daemon = await fakeDaemon();
    await using connection = await connect(daemon.uri);
    const first = connection.hostname();
    const second = connection.hostname();
    const far = client(daemon.clients, 0);
    const [a, b] = [await far.next(), await far.next()];
    const { connect_get_hostname } = procedures;
    far.send(
      Buffer.concat([
        replyTo(b, connect_get_hostname, { hostname: "b" }),
        replyTo(a, connect_get_hostname, { hostname: "a" }),
      ]),
    );
    expect(await Promise.all([first, second])).to.deep.equal(["a", "b"]);
  });

  it("gives a call up after its limit or when it is cancelled, and goes on", async () => {
    await using daemon = await fakeDaemon();
    await using connection = await connect(daemon.uri);
    const far = client(daemon.clients, 0);
    const late = connection.call("connect_get_hostname", {}, { timeout: 20 });
    expect(await failureOf(late)).to.be.instanceOf(CallTimeoutError);
    const abort = new AbortController();
    const cancelled = connection.call("connect_get_hostname", {}, { signal: abort.signal });
    const [old] = [await far.next(), await far.next()];
    abort.abort();
    expect(await failureOf(cancelled)).to.have.property("name", "AbortError");
    const next = connection.hostname();
    const call = await far.next();
    const { connect_get_hostname } = procedures;
    // The answer to the call that was given up comes at last, and harms nobody.
    far.send(replyTo(old, connect_get_hostname, { hostname: "late" }));
    far.send(replyTo(call, connect_get_hostname, { hostname: "now" }));
    expect(await next).to.equal("now");
  });

  it("answers the daemon's ping", async () => {
    await using daemon = await fakeDaemon();
    await using _connection = await connect(daemon.uri);
    const far = client(daemon.clients, 0);
    const head = { program: Program.KEEPALIVE, type: FrameType.MESSAGE, serial: 0, status: FrameStatus.OK };
    far.send(encodeFrame({ ...head, procedure: 1, payload: Buffer.alloc(0) }));
    expect(await far.next()).to.include({ program: Program.KEEPALIVE, procedure: 2 });
  });

  it("fails the calls under way when the daemon goes, and connects anew for the next", async () => {
    await using daemon = await fakeDaemon();
    await using connection = await connect(daemon.uri);
    const pending = failureOf(connection.hostname());
    await client(daemon.clients, 0).next();
    client(daemon.clients, 0).socket.destroy();
    expect(await pending).to.be.instanceOf(ConnectionLostError);
    const again = connection.hostname();
    await once(daemon.server, "connection");
    const far = client(daemon.clients, 1);
    far.send(replyTo(await far.next(), procedures.connect_get_hostname, { hostname: "back" }));
    expect(await again).to.equal("back");
  });

  it("ends on a frame that cannot be, rather than hang", async () => {
    await using daemon = await fakeDaemon();
    await using connection = await connect(daemon.uri);
    const pending = failureOf(connection.hostname());
    await client(daemon.clients, 0).next();
    client(daemon.clients, 0).send(Buffer.from("ffffffff", "hex"));
    expect(await pending).to.be.instanceOf(ConnectionLostError);
  });

  it("delivers events that overtake the registration's reply, and registers anew after a loss", async () => {
    await using daemon = await fakeDaemon();
    await using connection = await connect(daemon.uri);
    const far = client(daemon.clients, 0);
    const subscribing = connection.domainEvents("lifecycle");
    const register = procedures.connect_domain_event_callback_register_any;
    const call = await far.next();
    far.send(Buffer.concat([lifecycle(7, 2), replyTo(call, register, { callbackID: 7 })]));
    const events = (await subscribing)[Symbol.asyncIterator]();
    expect((await events.next()).value).to.include({ kind: "lifecycle", event: 2 });
    const reconnected = once(daemon.server, "connection");
    far.socket.destroy();
    await reconnected;
    const anew = client(daemon.clients, 1);
    anew.send(replyTo(await anew.next(), register, { callbackID: 9 }));
    expect((await events.next()).value).to.deep.equal({ kind: "resync" });
    anew.send(lifecycle(9, 5));
    expect((await events.next()).value).to.include({ event: 5 });
  });

  it("registers readers of events at a later attempt where the daemon refuses the first", async () => {
    await using daemon = await fakeDaemon();
    await using connection = await connect(daemon.uri);
    const far = client(daemon.clients, 0);
    const subscribing = connection.domainEvents("lifecycle");
    const register = procedures.connect_domain_event_callback_register_any;
    far.send(replyTo(await far.next(), register, { callbackID: 7 }));
    const events = (await subscribing)[Symbol.asyncIterator]();
    const refused = once(daemon.server, "connection");
    far.socket.destroy();
    await refused;
    const anew = client(daemon.clients, 1);
    const reconnected = once(daemon.server, "connection");
    const { serial } = await anew.next();
    anew.send(refusal(serial));
    await reconnected;
    const third = client(daemon.clients, 2);
    third.send(replyTo(await third.next(), register, { callbackID: 9 }));
    expect((await events.next()).value).to.deep.equal({ kind: "resync" });
  });
});

import { once } from "node:events";
import { expect } from "chai";
import { encodeFrame, type Frame, FrameStatus, FrameType } from "../../../../../plugins/libvirt/rpc/frame.ts";
import { type CallLimits, ConnectionLostError, connect } from "../../../../../plugins/libvirt/rpc/index.ts";
import { procedures } from "../../../../../plugins/libvirt/rpc/procedures/index.ts";
import { remoteError } from "../../../../../plugins/libvirt/rpc/structures.ts";
import { encode } from "../../../../../plugins/libvirt/rpc/xdr.ts";
import { type FakeClient, fakeDaemon, replyTo } from "../../../../support/libvirt/fake-daemon.ts";

const UUID = "00000000-0000-4000-8000-000000000001";
const REFUSAL = {
  code: 55,
  domain: 10,
  message: "domain is not running",
  level: 2,
  dom: null,
  str1: null,
  str2: null,
  str3: null,
  int1: 0,
  int2: 0,
  net: null,
};

const packet = ({ program, procedure, serial }: Frame, status: number, payload: Buffer | string = "") =>
  encodeFrame({ program, procedure, type: FrameType.STREAM, serial, status, payload: Buffer.from(payload) });

/** Opens a console of a daemon that greets with the first packet in the same read as the reply. */
async function scene(limits: CallLimits = {}) {
  const daemon = await fakeDaemon();
  const connection = await connect(daemon.uri);
  const opening = connection.domainOfUuid(UUID).openConsole("serial0", 2, limits);
  await once(daemon.server, "connection");
  const far = daemon.clients[1] as FakeClient;
  const call = await far.next();
  far.send(
    Buffer.concat([
      replyTo(call, procedures.domain_open_console, {}),
      packet(call, FrameStatus.CONTINUE, "login: "),
    ]),
  );
  const stream = await opening;
  stream.setEncoding("utf8");
  return { daemon, far, call, stream, [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]() };
}

/** Resolves when the far side has noticed, by whatever it noticed it. */
async function closing({ socket }: FakeClient): Promise<void> {
  if (!socket.closed) {
    await new Promise((resolve) => socket.once("close", resolve));
  }
}

describe("a console", () => {
  it("carries what either side writes, and ends with our end", async () => {
    await using there = await scene();
    const { far, call, stream } = there;
    expect(call.procedure).to.equal(201);
    expect(await once(stream, "data")).to.deep.equal(["login: "]);
    stream.write("root\n");
    const written = await far.next();
    expect(written).to.include({ type: FrameType.STREAM, status: FrameStatus.CONTINUE, serial: call.serial });
    expect(written.payload.toString()).to.equal("root\n");
    stream.end();
    expect(await far.next()).to.include({ type: FrameType.STREAM, status: FrameStatus.OK });
    const closed = once(stream, "close");
    far.send(packet(call, FrameStatus.OK));
    await closed;
    expect(stream.errored).to.equal(null);
    await closing(far);
  });

  it("ends when the guest's side does", async () => {
    await using there = await scene();
    const { far, call, stream } = there;
    far.send(packet(call, FrameStatus.CONTINUE));
    const text = (async () => {
      let all = "";
      for await (const chunk of stream) {
        all += chunk;
      }
      return all;
    })();
    expect(await far.next()).to.include({ type: FrameType.STREAM, status: FrameStatus.OK });
    far.send(packet(call, FrameStatus.OK));
    expect(await text).to.equal("login: ");
  });

  it("ends without a reader of what has come", async () => {
    await using there = await scene();
    const { far, call, stream } = there;
    for (let at = 0; at < 8; at++) {
      far.send(packet(call, FrameStatus.CONTINUE, "x".repeat(60_000)));
    }
    stream.end();
    for (;;) {
      if ((await far.next()).status === FrameStatus.OK) {
        break;
      }
    }
    const finished = once(stream, "finish");
    far.send(packet(call, FrameStatus.OK));
    await finished;
    stream.destroy();
    await closing(far);
  });

  it("fails with libvirt's error, and with the connection", async () => {
    for (const cut of [false, true]) {
      await using there = await scene();
      const { far, call, stream } = there;
      const failed = once(stream, "error");
      if (cut) {
        far.socket.destroy();
      } else {
        far.send(packet(call, FrameStatus.ERROR, encode(remoteError, REFUSAL)));
      }
      const [error] = await failed;
      if (cut) {
        expect(error).to.be.instanceOf(ConnectionLostError);
      } else {
        expect(error).to.include({ codeName: "OPERATION_INVALID", message: "domain is not running" });
      }
    }
  });

  it("is cut by the signal, with its reason", async () => {
    const controller = new AbortController();
    await using there = await scene({ signal: controller.signal });
    const failed = once(there.stream, "error");
    const reason = new Error("enough");
    controller.abort(reason);
    expect((await failed)[0]).to.equal(reason);
    await closing(there.far);
  });

  it("that is refused leaves no connection behind", async () => {
    await using daemon = await fakeDaemon();
    const connection = await connect(daemon.uri);
    const opening = connection.domainOfUuid(UUID).openConsole();
    opening.catch(() => {});
    await once(daemon.server, "connection");
    const far = daemon.clients[1] as FakeClient;
    const call = await far.next();
    const closed = closing(far);
    const payload = encode(remoteError, REFUSAL);
    far.send(encodeFrame({ ...call, type: FrameType.REPLY, status: FrameStatus.ERROR, payload }));
    const error = await opening.catch((reason: unknown) => reason);
    expect(error).to.include({ codeName: "OPERATION_INVALID" });
    await closed;
  });
});

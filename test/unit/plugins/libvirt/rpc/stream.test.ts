import { once } from "node:events";
import { expect } from "chai";
import { encodeFrame, type Frame, FrameStatus, FrameType } from "../../../../../plugins/libvirt/rpc/frame.ts";
import { ConnectionLostError, connect, StorageVolume } from "../../../../../plugins/libvirt/rpc/index.ts";
import { procedures } from "../../../../../plugins/libvirt/rpc/procedures/index.ts";
import {
  type FakeClient,
  type FakeDaemon,
  fakeDaemon,
  replyTo,
} from "../../../../support/libvirt/fake-daemon.ts";

const packet = ({ program, procedure, serial }: Frame, status: number, payload = "") =>
  encodeFrame({ program, procedure, type: FrameType.STREAM, serial, status, payload: Buffer.from(payload) });

async function volumeOf(daemon: FakeDaemon): Promise<StorageVolume> {
  return new StorageVolume(await connect(daemon.uri), { pool: "p", name: "v", key: "/v" });
}

/** Answers the call that opens a stream, which comes over a connection of its own. */
async function accept(daemon: FakeDaemon): Promise<{ far: FakeClient; call: Frame }> {
  await once(daemon.server, "connection");
  const far = daemon.clients[1] as FakeClient;
  const call = await far.next();
  far.send(replyTo(call, procedures.storage_vol_download, {}));
  return { far, call };
}

/** Resolves when the far side has noticed, by whatever it noticed it. */
function closing({ socket }: FakeClient): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe("the stream of a volume", () => {
  it("is cut by the signal in the middle of a download, what has come included", async () => {
    await using daemon = await fakeDaemon();
    const controller = new AbortController();
    const chunks = (await volumeOf(daemon)).download({}, { signal: controller.signal });
    const first = chunks.next();
    const { far, call } = await accept(daemon);
    far.send(packet(call, FrameStatus.CONTINUE, "a"));
    expect(String((await first).value)).to.equal("a");
    far.send(packet(call, FrameStatus.CONTINUE, "b"));
    const closed = closing(far);
    const reason = new Error("enough");
    controller.abort(reason);
    expect(await failureOf(chunks.next())).to.equal(reason);
    await closed;
  });

  it("is cut when its reader stops, however much is on the way", async () => {
    await using daemon = await fakeDaemon();
    const chunks = (await volumeOf(daemon)).download();
    const first = chunks.next();
    const { far, call } = await accept(daemon);
    for (let at = 0; at < 40; at++) {
      far.send(packet(call, FrameStatus.CONTINUE, "x".repeat(1000)));
    }
    await first;
    const closed = closing(far);
    const began = performance.now();
    await chunks.return();
    await closed;
    expect(performance.now() - began).to.be.below(1000);
  });

  for (const by of ["the signal", "the daemon"]) {
    it(`is ended by ${by} in an upload whose source says nothing`, async () => {
      await using daemon = await fakeDaemon();
      const controller = new AbortController();
      const silent = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) };
      const failure = failureOf((await volumeOf(daemon)).upload(silent, {}, { signal: controller.signal }));
      const { far } = await accept(daemon);
      await new Promise(setImmediate);
      const reason = new Error("enough");
      if (by === "the signal") {
        const closed = closing(far);
        setTimeout(() => controller.abort(reason), 20);
        expect(await failure).to.equal(reason);
        await closed;
      } else {
        far.socket.destroy();
        expect(await failure).to.be.instanceOf(ConnectionLostError);
      }
    });
  }
});

import { Duplex } from "node:stream";
import { expect } from "chai";
import { Client } from "../../../../../plugins/libvirt/rpc/client.ts";
import {
  encodeFrame,
  type Frame,
  FrameParser,
  FrameStatus,
  FrameType,
} from "../../../../../plugins/libvirt/rpc/frame.ts";
import { procedures } from "../../../../../plugins/libvirt/rpc/procedures/index.ts";

/** A daemon's end that keeps the calls it got until it is told to answer. */
function daemon() {
  const calls: Frame[] = [];
  const parser = new FrameParser();
  const stream = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      calls.push(...parser.push(chunk));
      done();
    },
  });
  const answer = (frame: Frame | undefined) => {
    if (frame === undefined) {
      throw new Error("there is no call to answer");
    }
    // An empty list.
    const reply = { ...frame, type: FrameType.REPLY, status: FrameStatus.OK, payload: Buffer.alloc(4) };
    stream.push(encodeFrame(reply));
  };
  return { calls, stream, answer };
}

describe("calls of one connection", () => {
  it("stay below the number that the daemon takes at once, and are all answered", async () => {
    const { calls, stream, answer } = daemon();
    const client = new Client(stream, () => {});
    const results = Array.from({ length: 20 }, () => client.call(procedures.auth_list, {}));
    for (let answered = 0; answered < 20; answered++) {
      expect(calls.length - answered).to.be.within(1, 4);
      answer(calls[answered]);
      await results[answered];
    }
    await Promise.all(results);
  });

  it("leave no gap when one is given up before it was sent, and all end with the connection", async () => {
    const { calls, stream, answer } = daemon();
    const client = new Client(stream, () => {});
    const first = Array.from({ length: 4 }, () => client.call(procedures.auth_list, {}));
    const controller = new AbortController();
    const abandoned = client.call(procedures.auth_list, {}, { signal: controller.signal });
    const last = client.call(procedures.auth_list, {});
    controller.abort(new Error("given up"));
    expect(await abandoned.catch((error: Error) => error.message)).to.equal("given up");
    answer(calls[0]);
    await first[0];
    expect(calls).to.have.length(5);
    const ends = Promise.allSettled([...first.slice(1), last]);
    client.end(new Error("the end"));
    expect((await ends).map(({ status }) => status)).to.deep.equal(Array(4).fill("rejected"));
  });

  it("count as long as the daemon works on them, also when they were given up", async () => {
    const { calls, stream, answer } = daemon();
    const client = new Client(stream, () => {});
    const controller = new AbortController();
    const given = { signal: controller.signal };
    const abandoned = Array.from({ length: 4 }, () => client.call(procedures.auth_list, {}, given));
    const next = client.call(procedures.auth_list, {});
    controller.abort(new Error("given up"));
    await Promise.allSettled(abandoned);
    expect(calls).to.have.length(4);
    answer(calls[2]);
    await new Promise(setImmediate);
    expect(calls).to.have.length(5);
    answer(calls[4]);
    expect((await next).result).to.deep.equal({ types: [] });
  });
});

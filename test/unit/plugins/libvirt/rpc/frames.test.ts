import { readFileSync } from "node:fs";
import { expect } from "chai";
import {
  encodeFrame,
  FrameParser,
  FrameStatus,
  FrameType,
} from "../../../../../plugins/libvirt/rpc/frame.ts";
import { domainEvents } from "../../../../../plugins/libvirt/rpc/procedures/domain-event.ts";
import { procedures } from "../../../../../plugins/libvirt/rpc/procedures/index.ts";
import { remoteError } from "../../../../../plugins/libvirt/rpc/structures.ts";
import { decode, encode, type Type } from "../../../../../plugins/libvirt/rpc/xdr.ts";

interface Recorded {
  procedure: keyof typeof procedures;
  args: unknown;
  call: string;
  reply: string;
  result?: unknown;
  error?: { code: number; domain: number; level: number; message: string };
}

function read<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"), (_, value: unknown) =>
    typeof value === "string" && value.startsWith("bigint:") ? BigInt(value.slice("bigint:".length)) : value,
  );
}

const recorded = read<{ calls: Recorded[]; event: { frame: string } }>(
  "../../../../fixtures/libvirt-frames.json",
);
/** What virsh sent through a proxy, and what libvirtd answered: guest, checkpoints, backups, saves. */
const virsh = read<{ calls: Recorded[] }>("./recorded-frames.json");

function single(hex: string) {
  const [frame] = [...new FrameParser().push(Buffer.from(hex, "hex"))];
  if (frame === undefined) {
    throw new Error("no whole frame was recorded");
  }
  return frame;
}

describe("frames recorded from libvirtd 9.0", () => {
  for (const { procedure, args, call, reply, result, error } of [...recorded.calls, ...virsh.calls]) {
    const {
      program,
      number,
      args: argsType,
      result: resultType,
    } = procedures[procedure] as {
      program: number;
      number: number;
      args: Type<unknown>;
      result: Type<unknown>;
    };
    it(`${procedure} is sent byte by byte as it was${error ? ", and refused" : ""}`, () => {
      const { serial } = single(call);
      const payload = encode(argsType, args);
      const head = { program, procedure: number, type: FrameType.CALL, serial, status: FrameStatus.OK };
      expect(encodeFrame({ ...head, payload }).toString("hex")).to.equal(call);
      const answer = single(reply);
      expect(answer.serial).to.equal(serial);
      if (error === undefined) {
        expect(decode(resultType, answer.payload)).to.deep.equal(result);
      } else {
        expect(decode(remoteError, answer.payload)).to.include(error);
      }
    });
  }

  it("a lifecycle event carries its domain", () => {
    const frame = single(recorded.event.frame);
    expect(frame.procedure).to.equal(domainEvents.lifecycle.procedure);
    expect(decode(domainEvents.lifecycle.fields, frame.payload)).to.deep.include({ event: 3 });
    expect(decode(domainEvents.lifecycle.fields, frame.payload).dom.name).to.equal("test");
  });
});

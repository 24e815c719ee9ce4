import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  encodeFrame,
  type Frame,
  FrameParser,
  FrameStatus,
  FrameType,
} from "../../../plugins/libvirt/rpc/frame.ts";
import { procedures } from "../../../plugins/libvirt/rpc/procedures/index.ts";
import type { Procedure } from "../../../plugins/libvirt/rpc/procedures/procedure.ts";
import { encode } from "../../../plugins/libvirt/rpc/xdr.ts";

/** A daemon in this process that answers the opening and leaves the rest to the test. */
export interface FakeDaemon extends AsyncDisposable {
  readonly uri: string;
  readonly server: Server;
  /** Clients that are connected, in order. */
  readonly clients: FakeClient[];
}

export interface FakeClient {
  readonly socket: Socket;
  /** Frames that were not part of the opening. */
  readonly frames: Frame[];
  /** Resolves with the next such frame. */
  next(): Promise<Frame>;
  send(bytes: Buffer): void;
}

/** The reply to a call. */
export function replyTo<Args, Result>(
  call: Frame,
  procedure: Procedure<Args, Result>,
  result: Result,
): Buffer {
  const { program, procedure: number, serial } = call;
  const payload = encode(procedure.result, result);
  return encodeFrame({
    program,
    procedure: number,
    type: FrameType.REPLY,
    serial,
    status: FrameStatus.OK,
    payload,
  });
}

export async function fakeDaemon(): Promise<FakeDaemon> {
  const folder = await mkdtemp(join(tmpdir(), "strata-fake-"));
  const path = join(folder, "sock");
  const clients: FakeClient[] = [];
  const server = createServer((socket) => clients.push(accept(socket)));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    uri: `qemu+unix:///system?socket=${path}`,
    server,
    clients,
    async [Symbol.asyncDispose]() {
      for (const { socket } of clients) {
        socket.destroy();
      }
      await new Promise((resolve) => server.close(resolve));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function accept(socket: Socket): FakeClient {
  const parser = new FrameParser();
  const frames: Frame[] = [];
  const waiting: ((frame: Frame) => void)[] = [];
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    for (const frame of parser.push(chunk)) {
      const opening = answerOpening(frame);
      if (opening !== undefined) {
        socket.write(opening);
        continue;
      }
      const wake = waiting.shift();
      if (wake === undefined) {
        frames.push(frame);
      } else {
        wake(frame);
      }
    }
  });
  return {
    socket,
    frames,
    next: () => {
      const frame = frames.shift();
      return frame === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(frame);
    },
    send: (bytes) => void socket.write(bytes),
  };
}

function answerOpening(frame: Frame): Buffer | undefined {
  if (frame.type !== FrameType.CALL) {
    return undefined;
  }
  switch (frame.procedure) {
    case procedures.auth_list.number:
      return replyTo(frame, procedures.auth_list, { types: [0] });
    case procedures.connect_supports_feature.number:
      return replyTo(frame, procedures.connect_supports_feature, { supported: 1 });
    case procedures.connect_open.number:
      return replyTo(frame, procedures.connect_open, {});
    case procedures.connect_close.number:
      return replyTo(frame, procedures.connect_close, {});
    default:
      return undefined;
  }
}

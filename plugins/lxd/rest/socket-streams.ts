import { Readable, Writable } from "node:stream";
import type WebSocket from "ws";

/** Data received over a websocket; LXD ends it with an empty text message. */
export function source(socket: WebSocket): Readable {
  const stream = new Readable({
    read: () => socket.resume(),
    destroy(error, done) {
      socket.resume();
      done(error);
    },
  });
  let ended = false;
  const end = () => {
    if (ended) {
      return;
    }
    ended = true;
    stream.push(null);
  };
  socket.on("message", (data: Buffer, binary: boolean) => {
    if (!binary) {
      return end();
    }
    if (!ended && !stream.destroyed && !stream.push(data)) {
      socket.pause();
    }
  });
  socket.on("close", end);
  socket.on("error", end);
  return stream;
}

/** At a terminal, input ends with a key: closing the stream would make LXD remove the terminal. */
export const END_OF_INPUT = { data: "\x04", binary: true };

/** Data sent over a websocket. A command that has ended reads no more, so later data is dropped. */
export function sink(socket: WebSocket, end: { readonly data: string; readonly binary: boolean }): Writable {
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (socket.readyState !== socket.OPEN) {
        return done();
      }
      socket.send(chunk, { binary: true }, () => done());
    },
    final(done) {
      if (socket.readyState !== socket.OPEN) {
        return done();
      }
      socket.send(end.data, { binary: end.binary }, () => done());
    },
  });
  socket.on("close", () => stream.destroy());
  socket.on("error", () => {});
  return stream;
}

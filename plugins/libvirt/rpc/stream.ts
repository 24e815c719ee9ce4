import type { StreamListener } from "./client.ts";
import { ConnectionLostError } from "./errors.ts";
import { FrameStatus } from "./frame.ts";
import type { CallLimits } from "./limits.ts";
import { type ArgumentsOf, procedures } from "./procedures/index.ts";
import type { Session } from "./session.ts";

/** libvirt's own packets carry no more than this. */
export const PACKET = 262_120;
/** Packets read ahead of a slow reader before the connection is told to wait. */
const AHEAD = 16;
const EMPTY = Buffer.alloc(0);

/** Sends a source through a stream; resolves when the daemon has confirmed the end. */
export async function upload(
  session: Session,
  name: "storage_vol_upload",
  args: ArgumentsOf<"storage_vol_upload">,
  source: AsyncIterable<Uint8Array>,
  limits: CallLimits,
): Promise<void> {
  await using own = await session.sibling(limits);
  const client = await own.open(limits);
  const { listener, done, failed } = completion();
  const procedure = procedures[name];
  const { serial } = await client.call(procedure, args, session.limitsOf(limits), listener);
  const abort = () => listener.fail(limits.signal?.reason);
  limits.signal?.addEventListener("abort", abort, { once: true });
  const chunks = source[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { value: chunk, done: atEnd } = await Promise.race([chunks.next(), failed]);
      if (atEnd === true) {
        break;
      }
      for (let at = 0; at < chunk.length; at += PACKET) {
        const packet = Buffer.from(chunk.subarray(at, at + PACKET));
        await Promise.race([client.sendStream(procedure, serial, FrameStatus.CONTINUE, packet), failed]);
      }
    }
    await client.sendStream(procedure, serial, FrameStatus.OK, EMPTY);
    await done;
  } catch (error) {
    done.catch(() => {});
    // Not waited for: it may hang in what it reads from.
    void chunks.return?.().catch(() => {});
    client.end(abandoned());
    throw error;
  } finally {
    limits.signal?.removeEventListener("abort", abort);
  }
}

/** Why the connection of a stream is cut that is not read or written to its end: the daemon then drops the stream. */
export function abandoned(): ConnectionLostError {
  return new ConnectionLostError("the stream was given up");
}

function completion(): { listener: StreamListener; done: Promise<void>; failed: Promise<never> } {
  let resolve: () => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const done = new Promise<void>((ok, fail) => {
    resolve = ok;
    reject = fail;
  });
  const failed = new Promise<never>((_, fail) => {
    done.catch(fail);
  });
  failed.catch(() => {});
  return { listener: { data: () => {}, end: resolve, fail: reject }, done, failed };
}

/** Yields what the daemon sends, stalling it while nobody reads. */
export async function* download(
  session: Session,
  name: "storage_vol_download",
  args: ArgumentsOf<"storage_vol_download">,
  limits: CallLimits,
): AsyncGenerator<Buffer, void, undefined> {
  await using own = await session.sibling(limits);
  const client = await own.open(limits);
  const packets: Buffer[] = [];
  let finished = false;
  let failure: unknown;
  let wake: () => void = () => {};
  const listener: StreamListener = {
    data(payload) {
      packets.push(payload);
      if (packets.length >= AHEAD) {
        client.pause();
      }
      wake();
    },
    end() {
      finished = true;
      wake();
    },
    fail(error) {
      failure = error;
      wake();
    },
  };
  const procedure = procedures[name];
  const { serial } = await client.call(procedure, args, session.limitsOf(limits), listener);
  const abort = () => {
    packets.length = 0;
    listener.fail(limits.signal?.reason);
  };
  limits.signal?.addEventListener("abort", abort, { once: true });
  try {
    for (;;) {
      const packet = packets.shift();
      if (packet !== undefined) {
        if (packets.length < AHEAD / 2) {
          client.resume();
        }
        if (packet.length > 0) {
          yield packet;
          continue;
        }
        // An empty packet ends the data; finishing is then up to us.
        await client.sendStream(procedure, serial, FrameStatus.OK, EMPTY);
        continue;
      }
      if (failure !== undefined) {
        throw failure;
      }
      if (finished) {
        return;
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    limits.signal?.removeEventListener("abort", abort);
    if (!finished) {
      client.end(abandoned());
    }
  }
}

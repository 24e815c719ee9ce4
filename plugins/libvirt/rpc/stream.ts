import type { StreamListener } from "./client.ts";
import type { ArgumentsOf, Connection } from "./connection.ts";
import { FrameStatus } from "./frame.ts";
import { procedures } from "./procedures/index.ts";

/** libvirt's own packets carry no more than this. */
const PACKET = 262_120;
/** Packets read ahead of a slow reader before the connection is told to wait. */
const AHEAD = 16;
const EMPTY = Buffer.alloc(0);

/** Sends a source through a stream; resolves when the daemon has confirmed the end. */
export async function upload(
  connection: Connection,
  name: "storage_vol_upload",
  args: ArgumentsOf<"storage_vol_upload">,
  source: AsyncIterable<Uint8Array>,
): Promise<void> {
  await using own = await connection.sibling();
  const client = await own.open();
  const { listener, done, failed } = completion();
  const procedure = procedures[name];
  const { serial } = await client.call(procedure, args, {}, listener);
  try {
    for await (const chunk of source) {
      for (let at = 0; at < chunk.length; at += PACKET) {
        const packet = Buffer.from(chunk.subarray(at, at + PACKET));
        await Promise.race([client.sendStream(procedure, serial, FrameStatus.CONTINUE, packet), failed]);
      }
    }
  } catch (error) {
    await client.sendStream(procedure, serial, FrameStatus.ERROR, EMPTY).catch(() => {});
    done.catch(() => {});
    throw error;
  }
  await client.sendStream(procedure, serial, FrameStatus.OK, EMPTY);
  await done;
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
  connection: Connection,
  name: "storage_vol_download",
  args: ArgumentsOf<"storage_vol_download">,
): AsyncGenerator<Buffer, void, undefined> {
  await using own = await connection.sibling();
  const client = await own.open();
  const packets: Buffer[] = [];
  let finished = false;
  let failure: unknown;
  let wake: () => void = () => {};
  const listener: StreamListener = {
    data(payload) {
      packets.push(payload);
      if (packets.length >= AHEAD) client.pause();
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
  const { serial } = await client.call(procedure, args, {}, listener);
  for (;;) {
    const packet = packets.shift();
    if (packet !== undefined) {
      if (packets.length < AHEAD / 2) client.resume();
      if (packet.length > 0) {
        yield packet;
        continue;
      }
      // An empty packet ends the data; finishing is then up to us.
      await client.sendStream(procedure, serial, FrameStatus.OK, EMPTY);
      continue;
    }
    if (failure !== undefined) throw failure;
    if (finished) return;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
}

import { Duplex } from "node:stream";
import type { Client, StreamListener } from "./client.ts";
import { FrameStatus } from "./frame.ts";
import type { CallLimits } from "./limits.ts";
import { type ArgumentsOf, procedures } from "./procedures/index.ts";
import type { Session } from "./session.ts";
import { abandoned, PACKET } from "./stream.ts";

/** Procedures that open a stream of both directions. */
type DuplexProcedure = "domain_open_console" | "domain_open_channel";

/**
 * Opens a stream of both directions over a connection of its own, which ends with it. The signal destroys
 * it at any time, with its reason as the error; `timeout` limits the opening.
 */
export async function openDuplex(
  session: Session,
  name: DuplexProcedure,
  args: ArgumentsOf<DuplexProcedure>,
  limits: CallLimits,
): Promise<Duplex> {
  const own = await session.sibling(limits);
  const swallow = () => {};
  let stream: StreamDuplex | undefined;
  try {
    const client = await own.open(limits);
    const send = (status: number, payload: Buffer) =>
      client.sendStream(procedures[name], serial, status, payload);
    stream = new StreamDuplex(own, client, send);
    // What fails before the stream is handed on is the call's failure.
    stream.on("error", swallow);
    const { listener } = stream;
    const { serial } = await client.call(procedures[name], args, session.limitsOf(limits), listener);
    stream.endWith(limits.signal);
    stream.off("error", swallow);
    return stream;
  } catch (error) {
    stream?.destroy();
    await own.close();
    throw error;
  }
}

const EMPTY = Buffer.alloc(0);

/** One stream of the daemon as Node has streams. */
class StreamDuplex extends Duplex {
  private readonly session: Session;
  private readonly client: Client;
  private readonly send: (status: number, payload: Buffer) => Promise<void>;
  private finishing = false;
  private finished = false;
  private confirm: () => void = () => {};

  constructor(session: Session, client: Client, send: (status: number, payload: Buffer) => Promise<void>) {
    super({ allowHalfOpen: false });
    this.session = session;
    this.client = client;
    this.send = send;
  }

  readonly listener: StreamListener = {
    data: (payload) => {
      // An empty packet ends what the daemon has to say.
      if (payload.length === 0) {
        this.push(null);
      }
      // The answer to our end comes by the same way, so that is read on for.
      else if (!this.push(payload) && !this.finishing) {
        this.client.pause();
      }
    },
    end: () => {
      this.finished = true;
      this.push(null);
      this.confirm();
    },
    fail: (error) => {
      this.finished = true;
      this.destroy(error instanceof Error ? error : new Error(String(error)));
    },
  };

  /** Destroys the stream with the signal. */
  endWith(signal: AbortSignal | undefined): void {
    if (signal === undefined) {
      return;
    }
    const abort = () => this.destroy(signal.reason);
    if (signal.aborted) {
      abort();
    }
    signal.addEventListener("abort", abort, { once: true });
    this.once("close", () => signal.removeEventListener("abort", abort));
  }

  override _read(): void {
    this.client.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    const sendAll = async () => {
      for (let at = 0; at < chunk.length; at += PACKET) {
        await this.send(FrameStatus.CONTINUE, chunk.subarray(at, at + PACKET));
      }
    };
    sendAll().then(() => done(), done);
  }

  override _final(done: (error?: Error) => void): void {
    if (this.finished) {
      done();
      return;
    }
    this.finishing = true;
    this.confirm = done;
    this.client.resume();
    this.send(FrameStatus.OK, EMPTY).catch(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    // The daemon drops the stream with its connection.
    if (!this.finished) {
      this.client.end(abandoned());
    }
    this.session.close().then(
      () => done(error),
      () => done(error),
    );
  }
}

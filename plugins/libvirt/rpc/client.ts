import type { Duplex } from "node:stream";
import { CallTimeoutError, ConnectionLostError, LibvirtError, reasonOf } from "./errors.ts";
import { encodeFrame, type Frame, FrameParser, FrameStatus, FrameType } from "./frame.ts";
import type { CallLimits } from "./limits.ts";
import { type Procedure, Program } from "./procedures/procedure.ts";
import { remoteError } from "./structures.ts";
import { traceCall, traceFrame } from "./trace.ts";
import { decode, encode, ProtocolError } from "./xdr.ts";

/** The daemon is pinged after this long a silence, ms, and given up after as many pings unanswered. */
const PING_AFTER = 5_000;
const PINGS = 5;
const PING = 1;
const PONG = 2;

interface Pending {
  resolve(payload: Buffer): void;
  reject(error: unknown): void;
}

/** Hears what belongs to a stream; see `stream.ts`. */
export interface StreamListener {
  data(payload: Buffer): void;
  /** The daemon confirmed the end. */
  end(): void;
  fail(error: unknown): void;
}

/**
 * Calls on the way at once. The daemon takes five of a client (`max_client_requests`) and reads nothing
 * more from one that has as many, its answers to our pings included.
 */
const IN_FLIGHT = 4;

/**
 * One connection's life: frames out, replies matched by serial, events and streams handed on, keepalive
 * both ways. It does not come back once closed; `Connection` makes another.
 */
export class Client {
  private readonly stream: Duplex;
  private readonly pending = new Map<number, Pending>();
  private inFlight = 0;
  /** What sends the calls that wait for others to be answered, first come first. */
  private readonly unsent: (() => void)[] = [];
  private readonly streams = new Map<number, StreamListener>();
  private readonly parser = new FrameParser();
  private readonly onEvent: (frame: Frame) => void;
  private serial = 0;
  private heard = Date.now();
  private unanswered = 0;
  private pinger: NodeJS.Timeout | undefined;
  private failure: Error | undefined;
  /** Resolves with the reason when the connection has ended. */
  readonly closed: Promise<Error>;
  private resolveClosed: (reason: Error) => void = () => {};

  constructor(stream: Duplex, onEvent: (frame: Frame) => void) {
    this.stream = stream;
    this.onEvent = onEvent;
    this.closed = new Promise((resolve) => {
      this.resolveClosed = resolve;
    });
    stream.on("data", (chunk: Buffer) => this.receive(chunk));
    stream.on("error", (error) => this.end(lost(error.message, error)));
    stream.on("close", () => this.end(new ConnectionLostError("the daemon closed the connection")));
    stream.on("end", () => this.end(new ConnectionLostError("the daemon closed the connection")));
  }

  get isOpen(): boolean {
    return this.failure === undefined;
  }

  /** Calls a procedure and decodes its result. `listener` takes the packets of a call that opens a stream. */
  async call<Args, Result>(
    procedure: Procedure<Args, Result>,
    args: Args,
    limits: CallLimits = {},
    listener?: StreamListener,
  ): Promise<{ result: Result; serial: number }> {
    limits.signal?.throwIfAborted();
    if (this.failure !== undefined) {
      throw this.failure;
    }
    const payload = encode(procedure.args, args);
    this.serial = this.serial === 0xffffffff ? 1 : this.serial + 1;
    const serial = this.serial;
    // Before the reply: data may follow it in the same read.
    if (listener !== undefined) {
      this.streams.set(serial, listener);
    }
    const trace = traceCall(procedure, args);
    try {
      const reply = await this.exchange(serial, procedure, payload, limits);
      trace?.();
      return { result: decode(procedure.result, reply), serial };
    } catch (error) {
      trace?.(error);
      this.streams.delete(serial);
      throw error;
    }
  }

  private exchange(
    serial: number,
    { program, number }: { readonly program: number; readonly number: number },
    payload: Buffer,
    { timeout, signal }: CallLimits,
  ): Promise<Buffer> {
    return new Promise<Buffer>((resolve, reject) => {
      const head = { program, procedure: number, type: FrameType.CALL, serial, status: FrameStatus.OK };
      let sent = false;
      const send = () => {
        sent = true;
        this.inFlight += 1;
        this.write({ ...head, payload });
      };
      const settle = () => {
        // A call that is given up on its way keeps its place: the daemon still works on it.
        if (!sent) {
          this.pending.delete(serial);
          this.unsent.splice(this.unsent.indexOf(send), 1);
        }
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
      };
      const abort = () => {
        settle();
        reject(signal?.reason);
      };
      const timer =
        timeout === undefined
          ? undefined
          : setTimeout(() => {
              settle();
              reject(new CallTimeoutError(`no answer within ${timeout} ms`, timeout));
            }, timeout);
      signal?.addEventListener("abort", abort, { once: true });
      this.pending.set(serial, {
        resolve(reply) {
          settle();
          resolve(reply);
        },
        reject(error) {
          settle();
          reject(error);
        },
      });
      if (this.inFlight < IN_FLIGHT) {
        send();
      } else {
        this.unsent.push(send);
      }
    });
  }

  /** Sends a packet of a stream; resolves when there is room for the next. */
  async sendStream(
    { program, number }: { readonly program: number; readonly number: number },
    serial: number,
    status: number,
    payload: Buffer,
  ): Promise<void> {
    if (this.failure !== undefined) {
      throw this.failure;
    }
    const head = { program, procedure: number, type: FrameType.STREAM, serial, status };
    await new Promise<void>((resolve, reject) => {
      this.write({ ...head, payload }, (error) => (error ? reject(lost(error.message, error)) : resolve()));
    });
  }

  private write(frame: Frame, done?: (error?: Error | null) => void): void {
    traceFrame("sent", frame);
    this.stream.write(encodeFrame(frame), done);
  }

  /** Stops and goes on reading, for a stream whose reader is slow. It stalls the whole connection. */
  pause(): void {
    this.stream.pause();
  }

  resume(): void {
    this.stream.resume();
  }

  /** Pings the daemon from now on when it is silent, to notice that it is gone. */
  keepAlive(): void {
    this.pinger = setInterval(() => {
      if (this.stream.isPaused() || Date.now() - this.heard < PING_AFTER) {
        return;
      }
      if (this.unanswered >= PINGS) {
        this.end(new ConnectionLostError("the daemon does not answer"));
      } else {
        this.sendKeepAlive(PING);
      }
      this.unanswered += 1;
    }, PING_AFTER);
    this.pinger.unref();
  }

  private sendKeepAlive(procedure: number): void {
    if (this.failure !== undefined) {
      return;
    }
    const head = { program: Program.KEEPALIVE, type: FrameType.MESSAGE, serial: 0, status: FrameStatus.OK };
    this.write({ ...head, procedure, payload: Buffer.alloc(0) });
  }

  private receive(chunk: Buffer): void {
    this.heard = Date.now();
    this.unanswered = 0;
    // Calls that take the places of several that were answered are sent together.
    this.stream.cork();
    try {
      for (const frame of this.parser.push(chunk)) {
        this.dispatch(frame);
      }
    } catch (error) {
      this.end(lost(reasonOf(error), error));
    } finally {
      this.stream.uncork();
    }
  }

  private dispatch(frame: Frame): void {
    traceFrame("received", frame);
    if (frame.program === Program.KEEPALIVE) {
      if (frame.procedure === PING) {
        this.sendKeepAlive(PONG);
      }
      return;
    }
    switch (frame.type) {
      case FrameType.REPLY: {
        const pending = this.pending.get(frame.serial);
        if (pending === undefined) {
          return;
        }
        // First, since an error that makes no sense ends the connection, and with it this call.
        const error = frame.status === FrameStatus.OK ? undefined : decodeError(frame.payload);
        this.pending.delete(frame.serial);
        this.inFlight -= 1;
        this.unsent.shift()?.();
        // Whoever gave the call up hears nothing of its answer.
        if (error === undefined) {
          pending.resolve(frame.payload);
        } else {
          pending.reject(error);
        }
        return;
      }
      case FrameType.MESSAGE:
        this.onEvent(frame);
        return;
      case FrameType.STREAM:
        this.dispatchStream(frame);
        return;
      default:
        throw new ProtocolError(`a message of the unknown type ${frame.type}`);
    }
  }

  private dispatchStream(frame: Frame): void {
    const listener = this.streams.get(frame.serial);
    if (frame.status === FrameStatus.CONTINUE) {
      listener?.data(frame.payload);
      return;
    }
    this.streams.delete(frame.serial);
    if (frame.status === FrameStatus.OK) {
      listener?.end();
    } else {
      listener?.fail(
        frame.payload.length === 0 ? new Error("the stream was aborted") : decodeError(frame.payload),
      );
    }
  }

  /** Ends the connection; calls under way reject with the reason. */
  end(reason: Error): void {
    if (this.failure !== undefined) {
      return;
    }
    this.failure = reason;
    clearInterval(this.pinger);
    this.stream.destroy();
    for (const pending of [...this.pending.values()]) {
      pending.reject(reason);
    }
    this.pending.clear();
    for (const listener of this.streams.values()) {
      listener.fail(reason);
    }
    this.streams.clear();
    this.resolveClosed(reason);
  }
}

function lost(message: string, cause: unknown): ConnectionLostError {
  return cause instanceof ConnectionLostError ? cause : new ConnectionLostError(message, { cause });
}

function decodeError(payload: Buffer): LibvirtError {
  return new LibvirtError(decode(remoteError, payload));
}

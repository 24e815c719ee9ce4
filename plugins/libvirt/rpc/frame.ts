import { ProtocolError } from "./xdr.ts";

/** Length word and header. */
export const HEADER = 28;
/** Longest frame that libvirt sends or takes, bytes. */
export const LONGEST_FRAME = 33_554_432;

export const FrameType = { CALL: 0, REPLY: 1, MESSAGE: 2, STREAM: 3 } as const;
export const FrameStatus = { OK: 0, ERROR: 1, CONTINUE: 2 } as const;

/** One message of libvirt's RPC, either way. */
export interface Frame {
  readonly program: number;
  readonly procedure: number;
  readonly type: number;
  readonly serial: number;
  readonly status: number;
  readonly payload: Buffer;
}

export function encodeFrame(frame: Frame): Buffer {
  const length = HEADER + frame.payload.length;
  if (length > LONGEST_FRAME) {
    throw new RangeError(`a message of ${length} bytes is over ${LONGEST_FRAME}`);
  }
  const header = Buffer.alloc(HEADER);
  const words = [length, frame.program, 1, frame.procedure, frame.type, frame.serial, frame.status];
  for (const [index, word] of words.entries()) {
    header.writeUInt32BE(word >>> 0, index * 4);
  }
  return Buffer.concat([header, frame.payload]);
}

/** Cuts what arrives into frames. Holds at most one unfinished frame; refuses lengths that cannot be. */
export class FrameParser {
  private chunks: Buffer[] = [];
  private size = 0;

  /** The frames that are complete with this chunk. */
  *push(chunk: Buffer): Generator<Frame> {
    this.chunks.push(chunk);
    this.size += chunk.length;
    for (;;) {
      const length = this.nextLength();
      if (length === undefined || this.size < length) {
        return;
      }
      const whole = this.joined();
      this.chunks = length < whole.length ? [whole.subarray(length)] : [];
      this.size = whole.length - length;
      yield decodeFrame(whole.subarray(0, length));
    }
  }

  private nextLength(): number | undefined {
    if (this.size < 4) {
      return undefined;
    }
    const first = this.chunks[0];
    const length = (first !== undefined && first.length >= 4 ? first : this.joined()).readUInt32BE(0);
    if (length < HEADER || length > LONGEST_FRAME) {
      throw new ProtocolError(`a message of ${length} bytes`);
    }
    return length;
  }

  private joined(): Buffer {
    const [only] = this.chunks;
    if (only !== undefined && this.chunks.length === 1) {
      return only;
    }
    const whole = Buffer.concat(this.chunks);
    this.chunks = [whole];
    return whole;
  }
}

function decodeFrame(bytes: Buffer): Frame {
  return {
    program: bytes.readUInt32BE(4),
    procedure: bytes.readInt32BE(12),
    type: bytes.readUInt32BE(16),
    serial: bytes.readUInt32BE(20),
    status: bytes.readUInt32BE(24),
    payload: bytes.subarray(HEADER),
  };
}

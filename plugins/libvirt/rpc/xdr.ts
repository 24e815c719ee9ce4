/**
 * XDR as libvirt uses it: a value's layout is described once, and the description encodes, decodes and
 * gives TypeScript the type. All integers are big-endian; everything is padded to four bytes.
 */

/** A string of libvirt's protocol is at most this long, bytes of UTF-8. */
export const LONGEST_STRING = 4 * 1024 * 1024;

/** What a peer sent is not what the protocol says. */
export class ProtocolError extends Error {
  static {
    Object.defineProperty(ProtocolError.prototype, "name", { value: "ProtocolError", configurable: true });
  }
}

export interface Type<T> {
  /** The layout in words, such as `{name: string, id: i32?}`: a test compares it with libvirt's own. */
  readonly layout: string;
  encode(writer: Writer, value: T): void;
  decode(reader: Reader): T;
}

/** Any type, for constraints. */
interface AnyType {
  encode(writer: Writer, value: never): void;
  decode(reader: Reader): unknown;
}

/** The TypeScript type of a described value. */
export type Value<T> = T extends Type<infer V> ? V : never;

/** Collects a payload. */
export class Writer {
  private readonly parts: Buffer[] = [];

  put(part: Buffer): void {
    this.parts.push(part);
  }

  word(value: number): void {
    const word = Buffer.alloc(4);
    word.writeUInt32BE(value >>> 0);
    this.parts.push(word);
  }

  /** Bytes of any length, padded. */
  padded(bytes: Buffer): void {
    this.parts.push(bytes);
    const rest = bytes.length % 4;
    if (rest > 0) {
      this.parts.push(Buffer.alloc(4 - rest));
    }
  }

  end(): Buffer {
    return Buffer.concat(this.parts);
  }
}

/** Walks over a payload and refuses to step past its end. */
export class Reader {
  private offset = 0;
  private readonly payload: Buffer;

  constructor(payload: Buffer) {
    this.payload = payload;
  }

  get left(): number {
    return this.payload.length - this.offset;
  }

  take(length: number): Buffer {
    const at = this.skip(length);
    return this.payload.subarray(at, at + length);
  }

  word(): number {
    return this.payload.readUInt32BE(this.skip(4));
  }

  padded(length: number): Buffer {
    const part = this.take(length);
    if (length % 4 > 0) {
      this.skip(4 - (length % 4));
    }
    return part;
  }

  /** Steps on; returns where it was. */
  private skip(length: number): number {
    if (length > this.left) {
      throw new ProtocolError(`a payload ends ${length - this.left} bytes early`);
    }
    const at = this.offset;
    this.offset += length;
    return at;
  }
}

function range(value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${value} is no whole number from ${min} to ${max}`);
  }
  return value;
}

export const u32: Type<number> = {
  layout: "u32",
  encode: (writer, value) => writer.word(range(value, 0, 0xffffffff)),
  decode: (reader) => reader.word(),
};

export const i32: Type<number> = {
  layout: "i32",
  encode: (writer, value) => writer.word(range(value, -0x80000000, 0x7fffffff)),
  decode: (reader) => reader.word() | 0,
};

export const u64: Type<bigint> = {
  layout: "u64",
  encode(writer, value) {
    const part = Buffer.alloc(8);
    part.writeBigUInt64BE(value);
    writer.put(part);
  },
  decode: (reader) => reader.take(8).readBigUInt64BE(),
};

export const i64: Type<bigint> = {
  layout: "i64",
  encode(writer, value) {
    const part = Buffer.alloc(8);
    part.writeBigInt64BE(value);
    writer.put(part);
  },
  decode: (reader) => reader.take(8).readBigInt64BE(),
};

export const double: Type<number> = {
  layout: "double",
  encode(writer, value) {
    const part = Buffer.alloc(8);
    part.writeDoubleBE(value);
    writer.put(part);
  },
  decode: (reader) => reader.take(8).readDoubleBE(),
};

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export const string: Type<string> = {
  layout: "string",
  encode(writer, value) {
    const bytes = Buffer.from(value, "utf8");
    if (bytes.length > LONGEST_STRING) {
      throw new RangeError(`a string of ${bytes.length} bytes is over ${LONGEST_STRING}`);
    }
    if (bytes.includes(0)) {
      throw new RangeError("a string holds a NUL");
    }
    writer.word(bytes.length);
    writer.padded(bytes);
  },
  decode(reader) {
    const length = reader.word();
    if (length > LONGEST_STRING) {
      throw new ProtocolError(`a string of ${length} bytes`);
    }
    try {
      return utf8.decode(reader.padded(length));
    } catch (error) {
      if (error instanceof ProtocolError) {
        throw error;
      }
      throw new ProtocolError("a string is not UTF-8", { cause: error });
    }
  },
};

/** 16 raw bytes; written with dashes in TypeScript. */
export const uuid: Type<string> = {
  layout: "uuid",
  encode(writer, value) {
    const hex = value.replaceAll("-", "");
    if (!/^[0-9a-fA-F]{32}$/.test(hex)) {
      throw new RangeError(`${value} is no UUID`);
    }
    writer.put(Buffer.from(hex, "hex"));
  },
  decode(reader) {
    const hex = reader.take(16).toString("hex");
    const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)];
    return parts.join("-");
  },
};

/** Bytes with a length before them. */
export function bytes(max: number): Type<Buffer> {
  return {
    layout: `bytes(${max})`,
    encode(writer, value) {
      if (value.length > max) {
        throw new RangeError(`${value.length} bytes are over ${max}`);
      }
      writer.word(value.length);
      writer.padded(value);
    },
    decode(reader) {
      const length = reader.word();
      if (length > max) {
        throw new ProtocolError(`${length} bytes where at most ${max} may be`);
      }
      return reader.padded(length);
    },
  };
}

export function nullable<T>(type: Type<T>): Type<T | null> {
  return {
    get layout() {
      return `${type.layout}?`;
    },
    encode(writer, value) {
      writer.word(value === null ? 0 : 1);
      if (value !== null) {
        type.encode(writer, value);
      }
    },
    decode(reader) {
      const there = reader.word();
      if (there > 1) {
        throw new ProtocolError(`${there} where 0 or 1 must be`);
      }
      return there === 0 ? null : type.decode(reader);
    },
  };
}

export function array<T>(type: Type<T>, max: number): Type<T[]> {
  return {
    get layout() {
      return `${type.layout}[<=${max}]`;
    },
    encode(writer, value) {
      if (value.length > max) {
        throw new RangeError(`${value.length} elements are over ${max}`);
      }
      writer.word(value.length);
      for (const each of value) {
        type.encode(writer, each);
      }
    },
    decode(reader) {
      const count = reader.word();
      // Every element takes at least four bytes: a count beyond that is a lie, told before it costs memory.
      if (count > max || count * 4 > reader.left) {
        throw new ProtocolError(`${count} elements are announced`);
      }
      return Array.from({ length: count }, () => type.decode(reader));
    },
  };
}

/** A fixed number of characters, four bytes each, up to the first NUL. */
export function characters(count: number): Type<string> {
  return {
    layout: `characters(${count})`,
    encode(writer, value) {
      const given = Buffer.from(value, "latin1");
      for (let at = 0; at < count; at++) {
        writer.word(given[at] ?? 0);
      }
    },
    decode(reader) {
      const codes = Array.from({ length: count }, () => reader.word() & 0xff);
      const end = codes.indexOf(0);
      return Buffer.from(end === -1 ? codes : codes.slice(0, end)).toString("latin1");
    },
  };
}

type Fields = Readonly<Record<string, AnyType>>;
type StructOf<F extends Fields> = { -readonly [K in keyof F]: Value<F[K]> };

/** Fields one after the other, in the order in which they are written here. */
export function struct<F extends Fields>(fields: F): Type<StructOf<F>> {
  return new Struct(fields);
}

/** There are hundreds of structures, of which a command uses a dozen: each is worked out at its first use. */
class Struct<F extends Fields> implements Type<StructOf<F>> {
  private readonly fields: F;
  private known: readonly (readonly [keyof F & string, Type<unknown>])[] | undefined;

  constructor(fields: F) {
    this.fields = fields;
  }

  get layout(): string {
    return `{${this.list.map(([name, type]) => `${name}: ${type.layout}`).join(", ")}}`;
  }

  encode(writer: Writer, value: StructOf<F>): void {
    for (const [name, type] of this.list) {
      try {
        type.encode(writer, value[name]);
      } catch (error) {
        throw error instanceof RangeError ? new RangeError(`${name}: ${error.message}`) : error;
      }
    }
  }

  decode(reader: Reader): StructOf<F> {
    const value: Record<string, unknown> = {};
    for (const [name, type] of this.list) {
      value[name] = type.decode(reader);
    }
    return value as StructOf<F>;
  }

  private get list(): readonly (readonly [keyof F & string, Type<unknown>])[] {
    // Object.entries forgets which type belongs to which key; the compiler has checked them at the call.
    this.known ??= Object.entries(this.fields) as unknown as [keyof F & string, Type<unknown>][];
    return this.known;
  }
}

/** A payload as bytes. */
export function encode<T>(type: Type<T>, value: T): Buffer {
  const writer = new Writer();
  type.encode(writer, value);
  return writer.end();
}

/** The value of a payload, which must be used up to its last byte. */
export function decode<T>(type: Type<T>, payload: Buffer): T {
  const reader = new Reader(payload);
  const value = type.decode(reader);
  if (reader.left > 0) {
    throw new ProtocolError(`${reader.left} bytes are left over in a payload`);
  }
  return value;
}

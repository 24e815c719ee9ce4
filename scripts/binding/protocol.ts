/** A procedure as libvirt's `.x` files describe it. Layouts are written as `Type.layout` of the binding has them. */
export interface ProtocolProcedure {
  readonly number: number;
  readonly args: string;
  readonly result: string;
}

/** A message that carries an event. */
export interface ProtocolMessage {
  readonly number: number;
  readonly fields: string;
}

const WORDS: Readonly<Record<string, string>> = {
  int: "i32",
  "unsigned int": "u32",
  hyper: "i64",
  "unsigned hyper": "u64",
  // XDR has nothing shorter than four bytes.
  char: "i32",
  "unsigned char": "u32",
  short: "i32",
  "unsigned short": "u32",
  double: "double",
};

/** How long arrays are whose length is a macro of C. */
const MACROS: Readonly<Record<string, number>> = { VIR_UUID_BUFLEN: 16 };

/** The procedures of one program, read from its `.x` file. Throws where the file lacks what is asked for. */
export class Protocol {
  private readonly prefix: string;
  private readonly layouts: Layouts;
  private readonly numbers: ReadonlyMap<string, number>;

  /**
   * @param texts - the program's own file last; the ones before it declare types that it uses
   * @param prefix - what the program's names begin with, such as `remote`
   * @param typedParameters - members of `virTypedParameterType`, for the union of values
   */
  constructor(texts: readonly string[], prefix: string, typedParameters: Readonly<Record<string, number>>) {
    const text = texts
      .join("\n")
      .replace(/\/\*.*?\*\//gs, "")
      .replace(/^%.*$/gm, "");
    this.prefix = prefix;
    this.layouts = new Layouts(text, typedParameters);
    const pattern = new RegExp(`\\b${prefix.toUpperCase()}_PROC_(\\w+) = (\\d+)`, "g");
    this.numbers = new Map(
      [...text.matchAll(pattern)].map(([, name = "", number]) => [name.toLowerCase(), Number(number)]),
    );
  }

  /** A procedure by its lower-case name without the prefix, such as `domain_get_xml_desc`. */
  procedure(name: string): ProtocolProcedure {
    const [args, result] = ["args", "ret"].map((part) => {
      const type = `${this.prefix}_${name}_${part}`;
      return this.layouts.has(type) ? this.layouts.of(type) : "{}";
    });
    return { number: this.number(name), args: args ?? "{}", result: result ?? "{}" };
  }

  /** The message of an event, by the name of its procedure. */
  message(name: string): ProtocolMessage {
    return { number: this.number(name), fields: this.layouts.of(`${this.prefix}_${name}_msg`) };
  }

  private number(name: string): number {
    const found = this.numbers.get(name);
    if (found === undefined) {
      throw new Error(`libvirt has no procedure ${name}`);
    }
    return found;
  }
}

class Layouts {
  private readonly structs: ReadonlyMap<string, string>;
  private readonly constants: ReadonlyMap<string, number>;
  private readonly pointers: ReadonlyMap<string, string>;
  private readonly enums: ReadonlySet<string>;
  private readonly typedParameters: Readonly<Record<string, number>>;

  constructor(text: string, typedParameters: Readonly<Record<string, number>>) {
    const all = (pattern: RegExp) => [...text.matchAll(pattern)].map(([, a = "", b = ""]) => [a, b] as const);
    this.structs = new Map(all(/^(?:struct|union) (\w+)[^{]*\{(.*?)^\};/gms));
    this.constants = new Map(
      all(/^const (\w+)\s*=\s*(\d+);/gm).map(([name, value]) => [name, Number(value)]),
    );
    this.pointers = new Map(all(/^typedef (\w+) \*(\w+);/gm).map(([to, name]) => [name, to]));
    this.enums = new Set(all(/^enum (\w+)/gm).map(([name]) => name));
    this.typedParameters = typedParameters;
  }

  has(name: string): boolean {
    return this.structs.has(name);
  }

  /** The layout of a type by its name in the file. */
  of(name: string): string {
    const word = WORDS[name];
    if (word !== undefined) {
      return word;
    }
    if (name === "remote_nonnull_string") {
      return "string";
    }
    if (name === "remote_uuid") {
      return "uuid";
    }
    if (this.enums.has(name)) {
      return "i32";
    }
    const target = this.pointers.get(name);
    if (target !== undefined) {
      return `${this.of(target)}?`;
    }
    const body = this.structs.get(name);
    if (body === undefined) {
      throw new Error(`the type ${name} is not declared`);
    }
    return body.includes("case ") ? this.union(body) : `{${this.fields(body).join(", ")}}`;
  }

  private fields(body: string): string[] {
    return [...body.matchAll(/^\s*([\w ]+?)\s+(\w+)(?:<(\w*)>|\[(\w+)\])?;/gm)].flatMap(
      ([, type = "", name = "", max, count]) => {
        // Messages of newer events wrap the older message, whose fields follow on the wire.
        if (name === "msg" && type.endsWith("_msg")) {
          return this.fields(this.structs.get(type) ?? "");
        }
        if (max !== undefined) {
          const limit = this.length(max);
          return [`${name}: ${type === "opaque" ? `bytes(${limit})` : `${this.of(type)}[<=${limit}]`}`];
        }
        if (count !== undefined) {
          return [`${name}: ${type === "char" ? "characters" : type}(${this.length(count)})`];
        }
        return [`${name}: ${this.of(type)}`];
      },
    );
  }

  private union(body: string): string {
    const cases = [...body.matchAll(/case (\w+):\s+([\w ]+?)\s+\w+;/g)].map(([, label = "", type = ""]) => {
      const number = this.typedParameters[label];
      if (number === undefined) {
        throw new Error(`the headers do not have ${label}`);
      }
      return `${number}: ${this.of(type)}`;
    });
    return `switch(${cases.join(", ")})`;
  }

  private length(text: string): number {
    const found = /^\d+$/.test(text) ? Number(text) : (this.constants.get(text) ?? MACROS[text]);
    if (found === undefined) {
      throw new Error(`the length ${text} is not declared`);
    }
    return found;
  }
}

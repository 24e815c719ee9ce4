/** A member of an enumeration: its value, and the first libvirt that has it where the header says so. */
export interface Member {
  readonly value: number;
  readonly since: string | undefined;
}

/** A macro that is a string. */
export interface StringMacro {
  readonly value: string;
  readonly since: string | undefined;
}

/** What libvirt's public headers declare. */
export interface Headers {
  /** Members of each enumeration by their full names, in the order of the header. */
  readonly enums: ReadonlyMap<string, ReadonlyMap<string, Member>>;
  readonly functions: readonly string[];
  /** Macros that are strings, such as names of typed parameters. */
  readonly strings: ReadonlyMap<string, StringMacro>;
}

/** Reads the texts of public headers, such as `libvirt-domain.h`. Throws for an expression that it cannot evaluate. */
export function readHeaders(texts: readonly string[]): Headers {
  const enums = new Map<string, Map<string, Member>>();
  const known = new Map<string, number>();
  // Members refer to members of other headers: whatever cannot be evaluated yet is tried again.
  let waiting = texts.flatMap((text) => enumBlocks(withoutSentinels(text)));
  while (waiting.length > 0) {
    const later = waiting.filter(({ name, body }) => {
      const members = readMembers(body, known);
      if (members === undefined) {
        return true;
      }
      enums.set(name, members);
      for (const [member, { value }] of members) {
        known.set(member, value);
      }
      return false;
    });
    if (later.length === waiting.length) {
      throw new Error(`cannot evaluate ${later.map(({ name }) => name).join(", ")}`);
    }
    waiting = later;
  }
  return {
    enums,
    functions: [...new Set(texts.flatMap(functionsOf))].sort(),
    strings: new Map(texts.flatMap(stringsOf)),
  };
}

/** Drops the `_LAST` members: they are counts, which change with every version. */
function withoutSentinels(text: string): string {
  return text.replace(/^# *ifdef VIR_ENUM_SENTINELS$.*?^# *endif$/gms, "");
}

function enumBlocks(text: string): { name: string; body: string }[] {
  return [...text.matchAll(/^typedef enum \{$(.*?)^\} (\w+);/gms)].map(([, body = "", name = ""]) => ({
    name,
    body,
  }));
}

function readMembers(body: string, known: ReadonlyMap<string, number>): Map<string, Member> | undefined {
  const members = new Map<string, Member>();
  let next = 0;
  // A comment belongs to the member before it; text between members is only commas and white space.
  const pattern = /\b(VIR_\w+)\b(?:\s*=\s*([^,/]+?))?\s*(?:,|(?=\/\*)|$)((?:\s*\/\*.*?\*\/)?)/gs;
  for (const [, name = "", expression, comment = ""] of maskComments(body).matchAll(pattern)) {
    const all = new Map([...known, ...[...members].map(([key, { value }]) => [key, value] as const)]);
    const value = expression === undefined ? next : evaluate(expression, all);
    if (value === undefined) {
      return undefined;
    }
    members.set(name, { value, since: /\(Since: ([\d.]+)\)/.exec(comment)?.[1] });
    next = value + 1;
  }
  return members;
}

/** Leaves of each comment only what it says of versions, so that no name in it is taken for a member. */
function maskComments(text: string): string {
  return text.replace(/\/\*.*?\*\//gs, (comment) => `/*${/\(Since: [\d.]+\)/.exec(comment)?.[0] ?? ""}*/`);
}

function evaluate(expression: string, known: ReadonlyMap<string, number>): number | undefined {
  const text = expression.trim().replace(/^\((.*)\)$/s, "$1");
  const [left, right] = text.split("<<").map((part) => part.trim());
  if (right !== undefined && left !== undefined) {
    return Number.parseInt(left, 10) * 2 ** Number(right);
  }
  return /^-?\d+$/.test(text) ? Number(text) : known.get(text);
}

/** Names of the functions that a header declares. */
function functionsOf(text: string): string[] {
  const code = text
    .replace(/\/\*.*?\*\//gs, "")
    .replace(/^#(?:.*\\\n)*.*$/gm, "")
    .replace(/\{[^}]*\}/gs, "");
  return code.split(";").flatMap((statement) => {
    if (/^\s*typedef\b/.test(statement)) {
      return [];
    }
    const name = /\b(vir[A-Z]\w+)\s*\(/.exec(statement)?.[1];
    return name === undefined ? [] : [name];
  });
}

/** A macro's version is in the comment before it. */
function stringsOf(text: string): [string, StringMacro][] {
  const pattern = /(\/\*(?:[^*]|\*(?!\/))*\*\/)?\n# *define (VIR_\w+)\s+"([^"]*)"/g;
  return [...text.matchAll(pattern)].map(([, comment = "", name = "", value = ""]) => [
    name,
    { value, since: /Since: ([\d.]+)/.exec(comment)?.[1] },
  ]);
}

import type { Command } from "commander";
import { failure, reasonOf } from "../errors.ts";
import type { Typed } from "./format/typed.ts";

/** What `--json`, `-o` and `--jq` ask for. */
export interface TypedRequest {
  /** The fields of each object; all of them where there is no list. */
  readonly fields: readonly string[] | undefined;
  readonly jq: string | undefined;
}

export interface TypedFlags {
  readonly json?: true;
  readonly output?: string;
  readonly jq?: string;
}

/** Adds the options for typed JSON to a command that has `--format`. */
export function withTypedOptions(made: Command): Command {
  return made
    .option("--json", "print typed JSON: numbers as numbers, sizes in bytes")
    .option("-o, --output <format>", "json, or json=FIELD,... for typed JSON with these fields alone")
    .option("--jq <expression>", "print what this jq expression makes of the typed JSON");
}

/** Undefined where no typed JSON is asked for. `known` are the fields that there are. */
export function typedRequest(
  { json, output, jq }: TypedFlags,
  format: string,
  known: readonly string[],
): TypedRequest | undefined {
  if (json === undefined && output === undefined && jq === undefined) {
    return undefined;
  }
  if (format !== "table") {
    throw failure("USAGE", { reason: "give --format, or one of --json, --output and --jq" });
  }
  return { fields: output === undefined ? undefined : fieldsOf(output, known), jq };
}

function fieldsOf(output: string, known: readonly string[]): readonly string[] | undefined {
  const [, list] = /^json(?:=(.+))?$/.exec(output) ?? [];
  if (output !== "json" && list === undefined) {
    throw failure("INVALID_VALUE", {
      what: "--output",
      value: output,
      reason: "must be json or json=FIELD,...",
    });
  }
  return list === undefined ? undefined : knownFields(list, known, "--output");
}

/** The fields of a list with commas; rejects unknown ones. */
export function knownFields(list: string, known: readonly string[], what: string): readonly string[] {
  const fields = list.split(",").map((field) => field.trim());
  for (const field of fields) {
    if (!known.includes(field)) {
      throw failure("INVALID_VALUE", { what, value: field, reason: `must be of ${known.join(", ")}` });
    }
  }
  return fields;
}

/** The text for a request, ending with a newline unless it is empty. */
export async function typedText(objects: readonly Typed[], { fields, jq }: TypedRequest): Promise<string> {
  const shown =
    fields === undefined
      ? objects
      : objects.map((each) => Object.fromEntries(fields.map((field) => [field, each[field] ?? null])));
  const text = JSON.stringify(shown, undefined, 4);
  return jq === undefined ? `${text}\n` : select(text, jq);
}

/** jq itself, as WebAssembly; strings come out bare, as with `jq -r`. */
async function select(text: string, expression: string): Promise<string> {
  const { raw } = await import("jq-wasm");
  const { exitCode } = process;
  let found: string;
  try {
    found = await raw(text, expression, ["-r"]);
  } catch (error) {
    const [reason = ""] = reasonOf(error)
      .replace(/^(Failed to execute raw query: )?(jq: )?(error: )?/, "")
      .split("\n");
    throw failure("INVALID_VALUE", { what: "--jq", value: expression, reason }, error);
  } finally {
    // jq as WebAssembly leaves its own exit code as the process's.
    process.exitCode = exitCode;
  }
  return found === "" || found.endsWith("\n") ? found : `${found}\n`;
}

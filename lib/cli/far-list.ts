import { text } from "node:stream/consumers";
import { failure } from "../errors.ts";
import { type Connection, openStrata } from "../remote/run.ts";
import { printable } from "./format/cell.ts";
import type { Typed } from "./format/typed.ts";

/** The instances of another host. */
export interface FarList {
  readonly objects: readonly Typed[];
  /** What strata said there, and its exit code: not 0 where the list is incomplete. */
  readonly said: string;
  readonly code: number;
}

/** Lists the instances of another host with these fields. `before`: options before the command. */
export async function listThere(
  connection: Connection,
  { before, fields, addresses }: { before: readonly string[]; fields: readonly string[]; addresses: boolean },
  signal: AbortSignal,
): Promise<FarList> {
  const words = [...before, "list", ...(addresses ? [] : ["--no-ipv4"]), `--output=json=${fields.join(",")}`];
  await using session = openStrata(connection, words, signal);
  session.stdin.end();
  const [list, said, { code }] = await Promise.all([
    text(session.stdout),
    text(session.stderr),
    session.exit,
  ]);
  const objects = objectsOf(list);
  if (objects === undefined) {
    const program = `strata on ${connection.name}`;
    throw failure("PROGRAM_FAILED", {
      program,
      reason: said.trim().replace(/^strata: /, "") || "it printed no list",
    });
  }
  return { objects, said: said.trim(), code };
}

/** Undefined for what is no list of instances: another host is not trusted to print one. */
function objectsOf(list: string): readonly Typed[] | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(list);
  } catch {
    return undefined;
  }
  if (!Array.isArray(parsed)) {
    return undefined;
  }
  const objects = parsed.map((each: unknown) => harmless(each, DEPTH));
  return objects.every(isObject) ? objects : undefined;
}

function isObject(value: unknown): value is Typed {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** How deep the fields of an instance may be nested. */
const DEPTH = 5;

/** A value without characters that control a terminal, and with whole numbers only. */
function harmless(value: unknown, depth: number): unknown {
  if (typeof value === "string") {
    return printable(value).replaceAll("\n", " ");
  }
  if (typeof value === "number") {
    return Number.isSafeInteger(value) && value >= 0 ? value : null;
  }
  if (typeof value !== "object" || value === null) {
    return value;
  }
  if (depth === 0) {
    return null;
  }
  return Array.isArray(value)
    ? value.map((each: unknown) => harmless(each, depth - 1))
    : Object.fromEntries(
        Object.entries(value).map(([key, each]) => [printable(key), harmless(each, depth - 1)]),
      );
}

import { stripVTControlCharacters } from "node:util";
import type { ConsoleSession, Instance } from "../../engine/contract.ts";
import { isStrataError, StrataError } from "../../errors.ts";
import { defined } from "../../util/defined.ts";
import type { ConsoleOptions, LogsOptions } from "../api/strata.ts";
import { getInstance } from "../instances/instances.ts";
import { requireGroup } from "../session/features.ts";
import type { Session } from "../session/session.ts";

/** How many lines of a console an error tells. */
const LAST_LINES = 8;
/** How long reading them may take, ms. */
const LAST_LINES_TIMEOUT_MS = 2000;
/** Longest of them, characters. */
const LINE_LENGTH = 160;

/** What the guest of an instance has written on its serial console. */
export async function* logs(
  session: Session,
  name: string,
  { lines, follow, signal }: LogsOptions = {},
): AsyncGenerator<Uint8Array> {
  const { id } = await getInstance(session, name, { deleted: "allowed" });
  const log = await requireGroup(
    session,
    "console.log",
    "showing the console log",
    ({ console }) => console?.log,
  );
  yield* log(id, {
    signal: signal ?? new AbortController().signal,
    ...defined({ lines, follow }),
  });
}

/** The serial console of a running instance. */
export async function openConsole(
  session: Session,
  name: string,
  { force, tty, signal }: ConsoleOptions = {},
): Promise<ConsoleSession> {
  const { id } = await getInstance(session, name);
  const open = await requireGroup(session, "console", "opening a console", ({ console }) => console?.open);
  return open(id, defined({ force, tty, signal }));
}

/** The same error with the end of the guest's console in its details, for what was waited for in vain. */
export async function withConsole(session: Session, { id }: Instance, error: unknown): Promise<unknown> {
  if (!isStrataError(error) || !["TIMEOUT", "GUEST_UNREACHABLE"].includes(error.code)) {
    return error;
  }
  const lines = await lastLines(session, id).catch(() => []);
  return lines.length === 0 ? error : withDetail(error, lines.join("\n"));
}

function withDetail({ code, details, cause }: StrataError, console: string): StrataError {
  return new StrataError(code, { ...details, console }, cause);
}

async function lastLines(session: Session, id: string): Promise<string[]> {
  const { console } = await session.engine();
  if (console?.log === undefined) {
    return [];
  }
  const signal = AbortSignal.timeout(LAST_LINES_TIMEOUT_MS);
  const chunks: Uint8Array[] = [];
  for await (const chunk of console.log(id, { lines: 4 * LAST_LINES, signal })) {
    chunks.push(chunk);
  }
  return stripVTControlCharacters(Buffer.concat(chunks).toString("utf8"))
    .split(/[\r\n]+/)
    .map((line) => line.trimEnd().slice(0, LINE_LENGTH))
    .filter((line) => line !== "")
    .slice(-LAST_LINES);
}

import { text } from "node:stream/consumers";
import { connectTo, openStrata } from "../remote/run.ts";
import type { Cli } from "./cli.ts";
import type { FarCommand } from "./far-command.ts";
import { printable } from "./format/cell.ts";
import { addressOf } from "./host-address.ts";

/** How long another host may take while a word is waited for, ms. */
const TIMEOUT_MS = 3000;

/** What strata on another host completes a command line with. Nothing if that host does not answer, or ssh would ask. */
export async function completeThere(
  { io: { env }, call }: Cli,
  { host, words }: FarCommand,
): Promise<string> {
  const signal = AbortSignal.any([call.signal, AbortSignal.timeout(TIMEOUT_MS)]);
  try {
    const connection = await connectTo(host, await addressOf(host, env), { env, ask: false, signal });
    await using session = openStrata(connection, ["__complete", "--", ...words], signal);
    session.stdin.end();
    session.stderr.resume();
    const [found, { code }] = await Promise.all([text(session.stdout), session.exit]);
    return code === 0 ? found.split("\n").map(harmless).join("\n") : "";
  } catch {
    return "";
  }
}

/** A line without characters that control a terminal; a tab stands before the meaning of a word. */
function harmless(line: string): string {
  return line.split("\t").map(printable).join("\t");
}

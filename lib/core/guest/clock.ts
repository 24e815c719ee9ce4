import { text } from "node:stream/consumers";
import type { Context, Instance } from "../../engine/contract.ts";
import { asStrataError } from "../../errors.ts";
import type { Session } from "../session/session.ts";
import { canLogIn, execIn } from "./guest.ts";

/** How long a guest may take to set its clock, ms. */
const CLOCK_TIMEOUT_MS = 20_000;

/** Argument: seconds since 1970. Leaves a clock alone that is right to two seconds. */
const SET = `d=$(($1 - $(date +%s))); [ "\${d#-}" -le 2 ] || date -u -s "@$1" >/dev/null`;

/**
 * Sets the clock of a virtual machine that was resumed, which stood still meanwhile. A failure is a warning, since
 * the guest runs all the same.
 */
export async function setClock(session: Session, instance: Instance, context: Context): Promise<void> {
  // Containers have the clock of their host.
  if ((await session.info()).kind !== "vm" || !(await canLogIn(session, instance))) {
    return;
  }
  const complaint = await adjust(session, instance, context).catch((error: unknown) => {
    const { code, message } = asStrataError(error);
    if (code === "CANCELLED" && context.signal.aborted) {
      throw error;
    }
    return message;
  });
  if (complaint !== "") {
    context.warn?.(`the clock of "${instance.name}" may be behind, as it stood still: ${complaint}`);
  }
}

/** Resolves to what the guest complains of, "" for nothing. */
async function adjust(session: Session, instance: Instance, { signal }: Context): Promise<string> {
  const argv = ["sh", "-c", SET, "sh", String(Math.round(Date.now() / 1000))];
  const limited = AbortSignal.any([signal, AbortSignal.timeout(CLOCK_TIMEOUT_MS)]);
  const running = await execIn(session, instance, argv, { user: "root", signal: limited });
  running.stdin.end();
  running.stdout.resume();
  const said = await text(running.stderr);
  const { code } = await running.exit;
  return code === 0 ? "" : said.trim() || `the command exited with status ${code}`;
}

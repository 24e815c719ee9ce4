import { channel } from "node:diagnostics_channel";
import { reasonOf } from "./errors.ts";
import type { Frame } from "./frame.ts";
import { FrameStatus, FrameType } from "./frame.ts";
import { domainEvents } from "./procedures/domain-event.ts";
import { QEMU_PROCEDURES, REMOTE_PROCEDURES } from "./procedures/numbers.ts";
import { Program } from "./procedures/procedure.ts";

/** Channels of `node:diagnostics_channel` that the binding reports on; see its README. */
const calls = channel("strata:call");
const frames = channel("strata:frame");
const programs = channel("strata:program");

/** Reports a call when it has ended; undefined while nobody listens. Never what is in its arguments but names. */
export function traceCall(
  { program, number }: { readonly program: number; readonly number: number },
  args: unknown,
): ((error?: unknown) => void) | undefined {
  if (!calls.hasSubscribers) {
    return undefined;
  }
  const begin = performance.now();
  return (error) => {
    const about = aboutOf(args);
    calls.publish({
      call: nameOf(program, number),
      ms: performance.now() - begin,
      ...(about === undefined ? {} : { about }),
      ...(error === undefined ? {} : { error: reasonOf(error) }),
    });
  };
}

/** Reports a message by its header alone: what is in it may be a secret. */
export function traceFrame(direction: "sent" | "received", frame: Frame): void {
  if (!frames.hasSubscribers) {
    return;
  }
  const type = keyOf(FrameType, frame.type);
  const status = frame.status === FrameStatus.OK ? "" : ` ${keyOf(FrameStatus, frame.status)}`;
  const name = nameOf(frame.program, frame.procedure);
  frames.publish({
    direction,
    frame: `${type} ${frame.serial} ${name}${status}`,
    size: frame.payload.length,
  });
}

/** Reports a daemon that was started and goes on by itself. */
export function traceDaemon(program: string, argv: readonly string[]): void {
  if (programs.hasSubscribers) {
    programs.publish({ program, argv, exit: null, reason: "it goes on in the background", ms: 0 });
  }
}

function keyOf(words: Readonly<Record<string, number>>, wanted: number): string {
  const [word = String(wanted)] = Object.entries(words).find(([, number]) => number === wanted) ?? [];
  return word.toLowerCase();
}

const names = new Map<string, string>();

/** libvirt's name of a procedure. */
function nameOf(program: number, number: number): string {
  if (names.size === 0) {
    for (const [of, numbers] of [
      [Program.REMOTE, REMOTE_PROCEDURES],
      [Program.QEMU, QEMU_PROCEDURES],
    ] as const) {
      for (const [name, known] of Object.entries(numbers)) {
        names.set(`${of} ${known}`, name);
      }
    }
    for (const [kind, { procedure }] of Object.entries(domainEvents)) {
      names.set(`${Program.REMOTE} ${procedure}`, `event ${kind}`);
    }
    names.set(`${Program.KEEPALIVE} 1`, "ping");
    names.set(`${Program.KEEPALIVE} 2`, "pong");
  }
  return names.get(`${program} ${number}`) ?? String(number);
}

/** The name or, where it was looked up by that alone, the UUID of what a call is about. */
function aboutOf(args: unknown): string | undefined {
  const { dom, snap, net, pool, vol, name, uuid } = Object(args) as Readonly<Record<string, unknown>>;
  const [handle] = [snap, dom, net, pool, vol].filter((each) => each !== undefined && each !== null);
  const found = handle === undefined ? (name ?? uuid) : Object(handle).name;
  return typeof found === "string" ? found : undefined;
}

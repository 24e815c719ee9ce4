import type { Progress } from "../engine/contract.ts";
import { formatSize } from "../size/format.ts";
import { printable } from "./format/cell.ts";
import type { Io } from "./io.ts";

const CLEAR = "\r\u001b[K";
const SPINNER = ["|", "/", "-", "\\"];
/** Between two turns of the spinner, ms. */
const TURN = 120;

/** How long a phase lasts before it is worth a line of its own where there is no terminal, ms. */
const NOTABLE = 2000;
/** How often such a line is written again for a phase that goes on, ms. */
const AGAIN = 30_000;

/** What goes on: one line that changes on a terminal, and elsewhere a line for what takes long. */
export interface ProgressLine {
  show(step: Progress): void;
  /** Removes the line; the next step shows it again. */
  clear(): void;
  /** Writes to standard error what stays, and the line below it again. */
  above(text: string): void;
}

/** `verbose`: every phase gets a line of its own, among those of the log. */
export function progressLine(io: Io, verbose: () => boolean): ProgressLine {
  let step: Progress | undefined;
  let begun = 0;
  let told: number | undefined;
  let turn = 0;
  let timer: NodeJS.Timeout | undefined;
  const draws = () => io.stderr.isTTY === true && io.env.TERM !== "dumb" && !verbose();
  const draw = () => {
    if (step !== undefined) {
      io.stderr.write(`${CLEAR}${printable(describe(step))} ${SPINNER[turn % SPINNER.length]}`);
      turn += 1;
    }
  };
  const tell = () => {
    if (step !== undefined) {
      told = Date.now();
      io.stderr.write(`${printable(describe(step))}\n`);
    }
  };
  const tellLong = () => {
    const now = Date.now();
    if (told === undefined ? now - begun >= NOTABLE : now - told >= AGAIN) {
      tell();
    }
  };
  return {
    show(next) {
      const changed = step?.phase !== next.phase;
      step = next;
      if (changed) {
        begun = Date.now();
        told = undefined;
      }
      if (draws()) {
        timer ??= setInterval(draw, TURN).unref();
        if (changed) {
          draw();
        }
        return;
      }
      timer ??= setInterval(tellLong, NOTABLE / 4).unref();
      if (changed && verbose()) {
        tell();
      }
    },
    clear() {
      clearInterval(timer);
      timer = undefined;
      if (step !== undefined && draws()) {
        io.stderr.write(CLEAR);
      }
      step = undefined;
    },
    above(text) {
      const drawn = step !== undefined && draws();
      io.stderr.write(`${drawn ? CLEAR : ""}${text}`);
      if (drawn) {
        draw();
      }
    },
  };
}

/** The phase and how far it is, as far as that is known. */
export function describe({ phase: text, item, done, total, wait }: Progress): string {
  const phase = item === undefined ? text : `[${item.number}/${item.of}] ${text}`;
  if (wait !== undefined) {
    return `${phase} (${seconds(Date.now() - wait.since)} s of ${seconds(wait.timeout)})`;
  }
  if (done === undefined) {
    return phase;
  }
  if (total === undefined || total === 0n) {
    return `${phase} ${formatSize(done)}`;
  }
  return `${phase} ${(done * 100n) / total}% of ${formatSize(total)}`;
}

function seconds(ms: number): number {
  return Math.round(ms / 1000);
}

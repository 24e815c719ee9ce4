import type { Progress } from "../engine/contract.ts";
import { formatSize } from "../size/format.ts";
import type { Io } from "./io.ts";

const CLEAR = "\r\u001b[K";
const SPINNER = ["|", "/", "-", "\\"];
/** Between two turns of the spinner, ms. */
const TURN = 120;

/** One line on a terminal that shows the progress; silent elsewhere. */
export interface ProgressLine {
  show(step: Progress): void;
  /** Removes the line; the next step shows it again. */
  clear(): void;
}

export function progressLine({ stderr, env }: Io): ProgressLine {
  if (stderr.isTTY !== true || env.TERM === "dumb") {
    return { show() {}, clear() {} };
  }
  let step: Progress | undefined;
  let turn = 0;
  let timer: NodeJS.Timeout | undefined;
  const draw = () => {
    if (step === undefined) {
      return;
    }
    stderr.write(`${CLEAR}${describe(step)} ${SPINNER[turn % SPINNER.length]}`);
    turn += 1;
  };
  return {
    show(next) {
      const changed = step?.phase !== next.phase;
      step = next;
      timer ??= setInterval(draw, TURN).unref();
      if (changed) {
        draw();
      }
    },
    clear() {
      clearInterval(timer);
      timer = undefined;
      if (step !== undefined) {
        stderr.write(CLEAR);
      }
      step = undefined;
    },
  };
}

/** The phase and its progress, as far as known. */
export function describe({ phase, done, total }: Progress): string {
  if (done === undefined) {
    return phase;
  }
  if (total === undefined || total === 0n) {
    return `${phase} ${formatSize(done)}`;
  }
  return `${phase} ${(done * 100n) / total}% of ${formatSize(total)}`;
}

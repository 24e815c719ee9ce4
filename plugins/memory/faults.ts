import { failure } from "../../lib/errors.ts";

export type How = "fail" | "die";

/** A fault that is waiting for its step. Dispose of it to call it off. */
export interface PlannedFault extends Disposable {
  readonly struck: boolean;
}

/** Faults by script: what is to go wrong, and at which step. */
export interface Faults {
  /** Every change passes here before it is made. */
  step(what: string): void;
  /** The change has been made: dying now leaves it done, and failing is no longer possible. */
  made(what: string): void;
  /** Plans a fault for the `step`-th step from now, 1 being the next. */
  plan(step: number, how: How): PlannedFault;
}

/** `die` is called when the process is to die; it must not return. */
export function createFaults(die: () => never): Faults {
  const planned = new Set<{ left: number; how: How; struck: boolean }>();
  const pass = (what: string, possible: (how: How) => boolean) => {
    for (const fault of planned) {
      if (!possible(fault.how)) {
        continue;
      }
      fault.left -= 1;
      if (fault.left !== 0) {
        continue;
      }
      fault.struck = true;
      planned.delete(fault);
      if (fault.how === "die") {
        die();
      }
      throw failure("ENGINE_ERROR", {
        engine: "memory",
        reason: `the step "${what}" failed, as was planned`,
      });
    }
  };
  return {
    step: (what) => pass(what, () => true),
    made: (what) => pass(`after ${what}`, (how) => how === "die"),
    plan(step, how) {
      const fault = { left: step, how, struck: false };
      planned.add(fault);
      return {
        get struck() {
          return fault.struck;
        },
        [Symbol.dispose]: () => void planned.delete(fault),
      };
    },
  };
}

const SCRIPT = /^(fail|die)@([1-9]\d{0,5})$/;

/** Reads a script such as `fail@3,die@7`; undefined when it is none. */
export function readScript(text: string): { readonly how: How; readonly step: number }[] | undefined {
  const parts = text === "" ? [] : text.split(",").map((part) => SCRIPT.exec(part.trim()));
  const script = parts.flatMap((part) =>
    part === null
      ? []
      : [{ how: part[1] === "die" ? ("die" as const) : ("fail" as const), step: Number(part[2]) }],
  );
  return script.length === parts.length ? script : undefined;
}

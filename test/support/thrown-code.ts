import { asStrataError } from "../../lib/errors.ts";

/** The code of what a callback throws; "" where it throws nothing. */
export function thrownCode(work: () => unknown): string {
  try {
    work();
    return "";
  } catch (error) {
    return asStrataError(error).code;
  }
}

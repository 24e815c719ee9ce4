import { asStrataError } from "../../lib/errors.ts";

/** The code of what a piece throws; "" where it throws nothing. */
export function thrownCode(work: () => unknown): string {
  try {
    work();
    return "";
  } catch (error) {
    return asStrataError(error).code;
  }
}

/** The code of what a piece of work rejects with; "" where it succeeds. */
export async function refusalCode(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "",
    (error: unknown) => asStrataError(error).code,
  );
}

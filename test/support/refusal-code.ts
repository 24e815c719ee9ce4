import { isStrataError } from "../../lib/errors.ts";

/** The code that work is refused with, which must be one of the table. */
export async function refusalCode(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (isStrataError(error)) {
      return error.code;
    }
    throw error;
  }
  throw new Error("it was accepted");
}

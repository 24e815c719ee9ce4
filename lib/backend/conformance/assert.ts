import { deepStrictEqual } from "node:assert/strict";
import { type ErrorCode, isStrataError } from "../../errors.ts";

/** Fails unless the two are deeply equal. */
export const same: <T>(actual: T, expected: T, message?: string) => void = deepStrictEqual;

/** Fails unless the promise rejects with that code of the error table. */
export async function rejects(work: Promise<unknown>, code: ErrorCode): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (isStrataError(error) && error.code === code) return;
    throw new Error(`it rejected with another error than ${code}`, { cause: error });
  }
  throw new Error(`it did not reject with ${code}`);
}

import { deepStrictEqual } from "node:assert/strict";
import { type ErrorCode, isStrataError } from "../../errors.ts";

/** Fails unless the two are deeply equal. */
export const same: <T>(actual: T, expected: T, message?: string) => void = deepStrictEqual;

/** Fails unless the promise rejects with that code of the error table. */
export function rejects(work: Promise<unknown>, code: ErrorCode): Promise<void> {
  return rejectsWithAny(work, [code]);
}

/** Fails unless it comes in time: a test that waits for ever says nothing. */
export async function within<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms} ms`)), ms);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** The same where several codes are right. */
export async function rejectsWithAny(work: Promise<unknown>, codes: readonly ErrorCode[]): Promise<void> {
  const wanted = codes.join(" or ");
  try {
    await work;
  } catch (error) {
    if (isStrataError(error) && codes.includes(error.code)) {
      return;
    }
    throw new Error(`it rejected with another error than ${wanted}: ${error}`, { cause: error });
  }
  throw new Error(`it did not reject with ${wanted}`);
}

import type { DetailsOf, ErrorCode } from "strata-vm/errors";

/**
 * An error of strata's table, as a plain one with its code and details; strata makes its own of it. Only types are
 * imported from strata, here and elsewhere, so nothing of it has to be installed beside this package.
 */
export function failure<Code extends ErrorCode>(
  code: Code,
  details: DetailsOf<Code>,
  cause?: unknown,
): Error {
  return Object.assign(new Error(code, { cause }), { code, details });
}

import type { ErrorDetails } from "./errors/details.ts";
import { type DetailsOf, ERRORS, type ErrorCode } from "./errors/table.ts";
import { exactSize } from "./size/format.ts";
import { quote } from "./util/quote.ts";

export type { ErrorDetail, ErrorDetails } from "./errors/details.ts";
export { type DetailsOf, ERRORS, type ErrorCode, EXIT } from "./errors/table.ts";

const brand = Symbol.for("strata.error");

/** The one error class of strata and its plugins. `code` is stable; `cause` keeps what was caught. */
export class StrataError extends Error {
  readonly code: ErrorCode;
  readonly exitCode: number;
  readonly hint: string | undefined;
  readonly retryable: boolean;
  readonly details: ErrorDetails;
  /** All that was wrong with one request, where that was several things; the first is told by this error's code. */
  readonly errors: readonly StrataError[];
  readonly [brand] = true;

  constructor(code: ErrorCode, details: ErrorDetails, cause?: unknown, errors: readonly StrataError[] = []) {
    const entry = ERRORS[code];
    const messages = errors.map(({ message }) => message);
    super(
      messages.length > 0 ? messages.join("\n") : fill(entry.message, details),
      cause === undefined ? undefined : { cause },
    );
    this.code = code;
    this.exitCode = entry.exit;
    const hint = typeof entry.hint === "function" ? entry.hint(details) : entry.hint;
    this.hint = hint === undefined ? undefined : fillHint(hint, details);
    this.retryable = entry.retryable === true;
    this.details = details;
    this.errors = errors;
  }

  static {
    Object.defineProperty(StrataError.prototype, "name", { value: "StrataError", configurable: true });
  }
}

/** Makes an error of the table: `throw failure("INSTANCE_NOT_FOUND", { name })`. */
export function failure<Code extends ErrorCode>(
  code: Code,
  ...[details = {}, cause]: FailureArguments<Code>
): StrataError {
  return new StrataError(code, details, cause);
}

/** The details that the code needs, no more and no less, and what was caught. */
export type FailureArguments<Code extends ErrorCode> = [keyof DetailsOf<Code>] extends [never]
  ? [details?: Readonly<Record<string, never>>, cause?: unknown]
  : [details: DetailsOf<Code>, cause?: unknown];

/** One error of those of a request, each of which is told once; at least one is needed. */
export function failures(all: readonly StrataError[]): StrataError {
  const each = all.flatMap((error) => (error.errors?.length > 0 ? error.errors : [error]));
  const once = [...new Map(each.map((error) => [error.message, error])).values()];
  const [first, ...others] = once;
  if (first === undefined || others.length === 0) {
    return first ?? failure("INTERNAL", { reason: "an error was made of none" });
  }
  return new StrataError(first.code, first.details, first.cause, once);
}

/** True for a StrataError of any copy of this module (a plugin may bring its own). */
export function isStrataError(value: unknown): value is StrataError {
  return value instanceof Error && brand in value;
}

/** Wraps whatever was thrown; a StrataError and an abort keep their meaning. */
export function asStrataError(value: unknown): StrataError {
  return strataErrorOf(value) ?? failure("INTERNAL", { reason: reasonOf(value) }, value);
}

/** What is an error of the table already, with an aborted call's as CANCELLED; undefined for everything else. */
export function strataErrorOf(value: unknown): StrataError | undefined {
  if (isStrataError(value)) {
    return value;
  }
  return value instanceof Error && value.name === "AbortError" ? failure("CANCELLED", {}, value) : undefined;
}

/** The message of whatever was thrown. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The code of a failed call of the system, such as "ENOENT"; undefined where there is none. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

function fill(template: string, details: ErrorDetails, spell = (value: string) => value): string {
  return template.replace(/\{(\w+)\}/g, (whole, key: string) => {
    const value = details[key];
    if (value === undefined) {
      return whole;
    }
    return spell(typeof value === "bigint" ? exactSize(value) : String(value));
  });
}

/** A name may hold anything: a command that is pasted into a shell must keep it one word. */
function fillHint(template: string, details: ErrorDetails): string {
  return template
    .split(/(`[^`]*`)/)
    .map((part) => fill(part, details, part.startsWith("`") ? quote : undefined))
    .join("");
}

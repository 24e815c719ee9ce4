import { isStrataError } from "../../errors.ts";

/**
 * Prepares an answer so that `JSON.stringify` accepts it. Objects that contain a size, a set, a map or an
 * error get a `toJSON` that is not enumerable, so comparing, spreading and `structuredClone` ignore it.
 */
export function answer<T>(value: T): T {
  return prepared(value) as T;
}

function prepared(value: unknown): unknown {
  if (Array.isArray(value)) {
    const items = value.map(prepared);
    return items.every((item, at) => Object.is(item, value[at])) ? value : items;
  }
  if (!isPlain(value)) {
    return value;
  }
  const before = Object.entries(value);
  const after = before.map(([key, inner]) => [key, prepared(inner)] as const);
  const foreign = before.some(([, inner]) => !Object.is(toJson(inner), inner));
  if (!foreign && after.every(([, inner], at) => Object.is(inner, before[at]?.[1]))) {
    return value;
  }
  const copy = Object.fromEntries(after);
  return foreign ? Object.defineProperty(copy, "toJSON", { value: plainCopy }) : copy;
}

function isPlain(value: unknown): value is object {
  if (typeof value !== "object" || value === null) {
    return false;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function plainCopy(this: object): object {
  return Object.fromEntries(Object.entries(this).map(([key, inner]) => [key, toJson(inner)]));
}

/** The JSON form of a value that JSON does not support; other values unchanged. */
function toJson(value: unknown): unknown {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : String(value);
  }
  if (value instanceof Set) {
    return [...value];
  }
  if (value instanceof Map) {
    return Object.fromEntries(value);
  }
  if (isStrataError(value)) {
    return { code: value.code, message: value.message, hint: value.hint };
  }
  return value;
}

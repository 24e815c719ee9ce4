/** What a call failed with, in the engine's own terms, becomes an error of the table. */
export type MapError = (error: unknown, subject: string | undefined) => Error;

/**
 * The same calls, failing with what `map` makes of every failure: of a call, a promise or a stream that a call
 * gives, and of a promise among the members. `map` is given the instance that the call is about, by name or id,
 * as far as the first argument says.
 *
 * The one place where the engine's own errors are mapped: calls within an engine see them as they are.
 */
export function mapErrors<Group extends object>(group: Group, map: MapError): Group {
  const members = Reflect.ownKeys(group).map((key) => [key, mapMember(group, key, map)] as const);
  return Object.fromEntries(members) as Group;
}

function mapMember(group: object, key: PropertyKey, map: MapError): unknown {
  const member: unknown = Reflect.get(group, key);
  if (member instanceof Promise) {
    const mapped = rejecting(member, map, undefined);
    // Whoever does not wait for it must not be hit by an unhandled rejection.
    mapped.catch(() => {});
    return mapped;
  }
  if (typeof member !== "function") {
    return member;
  }
  return (...args: readonly unknown[]): unknown => {
    const subject = subjectOf(args[0]);
    try {
      const result: unknown = Reflect.apply(member, group, args);
      if (result instanceof Promise) {
        return rejecting(result, map, subject);
      }
      return isStream(result) ? throwing(result, map, subject) : result;
    } catch (error) {
      throw map(error, subject);
    }
  };
}

function rejecting(work: Promise<unknown>, map: MapError, subject: string | undefined): Promise<unknown> {
  return work.catch((error: unknown) => {
    throw map(error, subject);
  });
}

async function* throwing(
  stream: AsyncIterable<unknown>,
  map: MapError,
  subject: string | undefined,
): AsyncGenerator<unknown> {
  try {
    yield* stream;
  } catch (error) {
    throw map(error, subject);
  }
}

function isStream(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}

/** What calls of the contract begin with: an id or a name, a lock, a finding, or what is to be made. */
type First = string | { readonly instance?: string | { readonly name: string }; readonly name?: string };

function subjectOf(first: unknown): string | undefined {
  if (typeof first === "string") {
    return first;
  }
  if (typeof first !== "object" || first === null) {
    return undefined;
  }
  const { instance, name } = first as Exclude<First, string>;
  return typeof instance === "object" ? instance.name : (instance ?? name);
}

import { checkEach } from "../../errors/check-each.ts";
import { asStrataError, failure, type StrataError } from "../../errors.ts";
import { nearDetail } from "../../util/nearest.ts";
import type { EngineFailure } from "../api/strata.ts";
import type { Session } from "./session.ts";

/**
 * The session whose engine has an instance of that name. If several or none have it, this is the engine in
 * use.
 */
export async function locate(session: Session, name: string): Promise<Session> {
  const others = await session.others();
  if (others.length === 0) {
    return session;
  }
  for (const each of [session, ...others]) {
    if (await has(each, name)) {
      return each;
    }
  }
  return session;
}

/** True if the engine has it. An engine that does not answer does not keep the others from being asked. */
export async function has(session: Session, name: string): Promise<boolean> {
  try {
    return (await (await session.engine()).instances.find(name)) !== null;
  } catch (error) {
    session.log.warn(
      `engine ${session.engineName} could not be asked for "${name}": ${asStrataError(error).message}`,
    );
    return false;
  }
}

/** Names, or objects with names, by the session that has them, each in the given order. */
export async function byEngine<T>(
  session: Session,
  items: readonly T[],
  nameOf: (item: T) => string,
): Promise<ReadonlyMap<Session, readonly T[]>> {
  // First those that no other engine has, so that unknown names fail before anything is done.
  const found = new Map<Session, T[]>([[session, []]]);
  for (const item of items) {
    const owner = await locate(session, nameOf(item));
    found.set(owner, [...(found.get(owner) ?? []), item]);
  }
  return new Map([...found].filter(([, mine]) => mine.length > 0));
}

/** The part of a request that remains after it was checked. */
export type Work = () => Promise<void>;

/**
 * Lets each engine check its part of a request before the first of them changes anything. If the request is
 * about one item only (`alone`), the check may be left to the change itself.
 */
export async function prepareAll<T>(
  session: Session,
  items: readonly T[],
  nameOf: (item: T) => string,
  check: (owner: Session, mine: readonly T[], alone: boolean) => Promise<Work>,
): Promise<Work[]> {
  return checkEach(await byEngine(session, items, nameOf), ([owner, mine]) =>
    check(owner, mine, items.length === 1),
  );
}

/** The same, and then does it. */
export async function carryOut<T>(...request: Parameters<typeof prepareAll<T>>): Promise<void> {
  for (const work of await prepareAll(...request)) {
    await work();
  }
}

/**
 * Asks every engine of the configuration. A failure of one does not affect the others; if there is only one,
 * its failure is passed on.
 */
export async function askAll<T>(
  session: Session,
  work: (session: Session) => Promise<readonly T[]>,
): Promise<{ readonly found: readonly T[]; readonly failures: readonly EngineFailure[] }> {
  const sessions = [session, ...(await session.others())];
  if (sessions.length === 1) {
    return { found: await work(session), failures: [] };
  }
  const answers = await Promise.all(
    sessions.map(async (each) => {
      try {
        return { found: await work(each), failure: undefined };
      } catch (error) {
        return { found: [], failure: { engine: each.engineName, error: asStrataError(error) } };
      }
    }),
  );
  const failures = answers.flatMap(({ failure }) => failure ?? []);
  return { found: answers.flatMap(({ found }) => found), failures };
}

/** The same, but failures are only logged. */
export async function gather<T>(
  session: Session,
  work: (session: Session) => Promise<readonly T[]>,
): Promise<readonly T[]> {
  const { found, failures } = await askAll(session, work);
  for (const { engine, error } of failures) {
    session.log.warn(`engine ${engine}: ${error.message}`);
  }
  return found;
}

/** Why an instance was not found, if another engine of the configuration knows. */
export async function notFound(session: Session, name: string): Promise<StrataError> {
  const owner = await locate(session, name);
  return owner === session
    ? failure("INSTANCE_NOT_FOUND", { name, ...(await nearDetail(name, () => namesOf(session))) })
    : failure("INSTANCE_ELSEWHERE", { name, engine: owner.engineName, driver: session.engineName });
}

/** Names of the instances of all engines. */
async function namesOf(session: Session): Promise<string[]> {
  const outlines = await gather(session, async (each) => {
    const { instances } = await each.engine();
    return instances.outline?.({ addresses: false }) ?? instances.list();
  });
  return outlines.map(({ name }) => name);
}

/** Rejects with INSTANCE_EXISTS if another engine of the configuration has an instance of that name. */
export async function requireFree(session: Session, name: string | undefined): Promise<void> {
  if (name !== undefined && (await locate(session, name)) !== session) {
    throw failure("INSTANCE_EXISTS", { name });
  }
}

import { checkEach } from "../../errors/check-each.ts";
import { asStrataError, failure, type StrataError } from "../../errors.ts";
import { nearDetail } from "../../util/nearest.ts";
import type { EngineFailure } from "../api/strata.ts";
import type { Session } from "./session.ts";

/**
 * The session whose engine has an instance of that name. The engine in use comes first: where several or
 * none have it, it is that one.
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

async function has(session: Session, name: string): Promise<boolean> {
  try {
    return (await (await session.engine()).instances.find(name)) !== null;
  } catch (error) {
    session.log.warn(
      `engine ${session.engineName} could not be asked for "${name}": ${asStrataError(error).message}`,
    );
    return false;
  }
}

/** Names, or whatever bears one, by the session that has them; each keeps its order. */
export async function byEngine<T>(
  session: Session,
  items: readonly T[],
  nameOf: (item: T) => string,
): Promise<ReadonlyMap<Session, readonly T[]>> {
  // First what no other engine has: unknown names fail before anything is done.
  const found = new Map<Session, T[]>([[session, []]]);
  for (const item of items) {
    const owner = await locate(session, nameOf(item));
    found.set(owner, [...(found.get(owner) ?? []), item]);
  }
  return new Map([...found].filter(([, mine]) => mine.length > 0));
}

/** What is left to be done of a request once it has been checked. */
export type Work = () => Promise<void>;

/**
 * Has each engine check its part of a request before the first of them changes anything. Where it is about one thing
 * only, the check may be left to the change itself: `alone` says so.
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
 * Asks every engine of the configuration. One that fails takes nothing from the others; where there is
 * but one, its failure is the caller's.
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

/** The same for those who go on with what there is: the failures are logged. */
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

/** Why an instance was not found, as far as another engine of the configuration knows. */
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

/** Rejects with INSTANCE_EXISTS when another engine of the configuration has an instance of that name. */
export async function requireFree(session: Session, name: string | undefined): Promise<void> {
  if (name !== undefined && (await locate(session, name)) !== session) {
    throw failure("INSTANCE_EXISTS", { name });
  }
}

import type { Engine, Feature } from "../../engine/contract.ts";
import { failure, type StrataError } from "../../errors.ts";
import type { Session } from "./session.ts";

const PLAIN = "it does not have this feature";

/**
 * Rejects with UNSUPPORTED and the engine's own reason unless the engine declares the feature, or one of
 * several. `what` is the action in the user's words: "suspending an instance".
 */
export async function requireFeature(
  session: Session,
  features: Feature | readonly Feature[],
  what: string,
): Promise<void> {
  const wanted = typeof features === "string" ? [features] : features;
  const { features: declared, missing } = await session.info();
  if (wanted.some((feature) => declared.has(feature))) {
    return;
  }
  const reasons = wanted.flatMap((feature) => missing.get(feature) ?? []);
  throw await unsupported(session, what, reasons.join("; "));
}

/** The error for something that an engine cannot do, with the reason that it gives. */
export async function unsupported(session: Session, what: string, reason = ""): Promise<StrataError> {
  const { engine } = await session.info();
  return failure("UNSUPPORTED", { what, engine, reason: reason || PLAIN });
}

/**
 * A group of the contract that only some engines have: `requireGroup(session, "clone", "cloning", ({
 * instances }) => instances.clone)`. Rejects like `requireFeature` if it is not declared.
 */
export async function requireGroup<T>(
  session: Session,
  features: Feature | readonly Feature[],
  what: string,
  pick: (engine: Engine) => T | undefined,
): Promise<T> {
  await requireFeature(session, features, what);
  const group = pick(await session.engine());
  if (group !== undefined) {
    return group;
  }
  const declared = typeof features === "string" ? features : features.join(" or ");
  throw failure("PLUGIN_ERROR", {
    plugin: session.engineName,
    reason: `it declares ${declared} but does not implement it`,
  });
}

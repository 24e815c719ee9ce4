import type { AuditOptions, Finding } from "../../engine/contract.ts";
import { failure, isStrataError } from "../../errors.ts";
import type { CallOptions } from "../api/strata.ts";
import { contextOf, contextOfItem, type Session } from "../session/session.ts";

/** The inconsistencies in an engine's records and files; none if the engine cannot check them. */
export async function audit(
  session: Session,
  options?: AuditOptions,
  call?: CallOptions,
): Promise<readonly Finding[]> {
  const { maintenance } = await session.engine();
  return (await maintenance?.audit(options, contextOf(call))) ?? [];
}

/** Rejects with INVALID_VALUE unless every finding offers the choice. */
export function checkChoice(findings: readonly Finding[], choice: string): void {
  for (const { subject, choices = [] } of findings) {
    const names = choices.map(({ name }) => name);
    if (names.includes(choice)) {
      continue;
    }
    const reason = names.length === 0 ? "no choice is offered for it" : `must be one of ${names.join(", ")}`;
    throw failure("INVALID_VALUE", { value: choice, what: `the repair of ${subject}`, reason });
  }
}

/**
 * Repairs those of an engine's findings that can be repaired, in the chosen way if there is one; resolves to
 * the repaired ones. If one is refused, the others are still repaired.
 */
export async function repair(
  session: Session,
  findings: readonly Finding[],
  choice?: string,
  call?: CallOptions,
): Promise<Finding[]> {
  const context = contextOf(call);
  const { maintenance } = await session.engine();
  const repaired: Finding[] = [];
  const able = findings.filter((finding) => finding.repair !== undefined || choice !== undefined);
  if (maintenance === undefined) {
    return repaired;
  }
  for (const [at, finding] of able.entries()) {
    context.signal.throwIfAborted();
    contextOfItem(context, at + 1, able.length).progress({ phase: "Repairing" });
    try {
      if (await maintenance.repair(finding, context, choice)) {
        repaired.push(finding);
      }
    } catch (error) {
      if (able.length === 1 || context.signal.aborted || !isStrataError(error)) {
        throw error;
      }
      context.warn?.(`${finding.subject} was not repaired: ${error.message}`);
    }
  }
  return repaired;
}

import type { Finding } from "../../../lib/engine/contract.ts";
import { pick } from "../trials.ts";
import type { Verb } from "../verb.ts";
import { INSTANCE } from "../world.ts";
import { anyOf, type Hand } from "./hand.ts";
import type { Model } from "./model.ts";

const on = INSTANCE;

/** How often each is done, of all. */
const WEIGHTS = {
  take: 4,
  restore: 3,
  delete: 4,
  rename: 1,
  comment: 1,
  resize: 1,
  start: 2,
  stop: 4,
  suspend: 1,
  optimize: 2,
  clone: 1,
  repair: 2,
  choose: 2,
} as const;

const KINDS = Object.entries(WEIGHTS).flatMap(([kind, weight]) =>
  Array.from({ length: weight }, () => kind as keyof typeof WEIGHTS),
);

/** An operation of strata's on what is there, of those whose snapshots strata shows. */
export function anyOperation(hand: Hand, model: Model, findings: readonly Finding[]): Verb {
  const { random } = hand;
  const names = [...model.now.records.keys()];
  const name = names.length === 0 ? "none" : pick(names, random);
  const kind = pick(KINDS, random);
  switch (kind) {
    case "take":
      return { kind, on, name: hand.fresh("s"), createdAt: 1_700_000_200_000 + Math.floor(random() * 1e6) };
    case "rename":
      return { kind, on, name, to: hand.fresh("r") };
    case "comment":
      return { kind, on, name, text: "another comment" };
    case "resize":
      return { kind, on, cpus: 2, mebibytes: 9 + Math.floor(random() * 4) };
    case "stop":
      return { kind, on, grace: random() < 0.7 ? "force" : 500 };
    case "clone":
      return { kind, on, name: "copy" };
    case "choose":
      return anyChoice(hand, findings) ?? { kind: "repair", on };
    case "restore":
    case "delete":
      return { kind, on, name };
    default:
      return { kind, on };
  }
}

/** Something that doctor asks the user, answered. */
export function anyChoice({ random }: Hand, findings: readonly Finding[]): Verb | undefined {
  const asked = findings.flatMap(({ kind: finding, subject, choices = [] }) =>
    choices.map(({ name: choice }) => ({ kind: "choose", on, finding, subject, choice }) as const),
  );
  return anyOf(asked, random);
}

export function wordsOf(verb: Verb): string {
  const { kind, on: _, ...rest } = verb;
  return `strata ${kind} ${JSON.stringify(rest)}`;
}

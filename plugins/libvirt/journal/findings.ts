import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { InstanceFinding } from "../audit/records.ts";
import type { Managed } from "../engine.ts";
import type { Operation, Unusable } from "./entry.ts";
import { JOURNAL, readJournal, SET_ASIDE } from "./journal.ts";

/** Interrupted operations, and entries that cannot be used. */
export async function findUnderWay({ metadata }: Managed): Promise<InstanceFinding[]> {
  const { folder, operation, snapshot } = metadata;
  const entry = await readJournal(folder);
  const found: InstanceFinding[] = [];
  for (const each of [operation, entry?.operation]) {
    if (each !== undefined) {
      found.push(each.kind === "unusable" ? unusable(folder, each) : unfinished(each));
    }
  }
  if (snapshot !== undefined && operation === undefined) {
    found.push(unfinished({ kind: "take" }));
  }
  const files = await readdir(folder).catch((): string[] => []);
  for (const file of files) {
    if (SET_ASIDE.test(file)) {
      found.push({
        kind: "operation-set-aside",
        subject: join(folder, file),
        detail: `an interrupted operation could be neither finished nor undone; ${join(folder, file)} describes it`,
        choices: [
          { name: "retry", detail: "try again to finish or undo the operation" },
          { name: "remove", detail: "remove the entry, after repairing what the operation left" },
        ],
      });
    }
  }
  return found;
}

function unfinished({ kind }: Pick<Operation, "kind">): InstanceFinding {
  return {
    kind: "operation-unfinished",
    subject: kind,
    detail: `a ${kind} was interrupted when its process died`,
    repair: "finish or undo it, as the next command that changes the instance would",
  };
}

function unusable(folder: string, { code, reason }: Unusable): InstanceFinding {
  return {
    kind: code === "RECORD_TOO_NEW" ? "operation-too-new" : "operation-unreadable",
    subject: join(folder, JOURNAL),
    detail: reason,
    choices: [
      {
        name: "remove",
        detail:
          "set the entry aside, if no newer strata can finish the operation; after an interrupted merge, a snapshot may be unreadable",
      },
    ],
  };
}

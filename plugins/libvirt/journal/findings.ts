import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { InstanceFinding } from "../audit/records.ts";
import type { Managed } from "../engine.ts";
import type { Operation, Unusable } from "./entry.ts";
import { JOURNAL, readJournal, SET_ASIDE } from "./journal.ts";

/** What an operation that died has left half done, and entries that nothing can be done with. */
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
        detail: `an operation could be neither finished nor undone; ${join(folder, file)} says which`,
        choices: [
          { name: "retry", detail: "try again to finish or undo it" },
          { name: "remove", detail: "remove that entry, once what is left of the operation is dealt with" },
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
    detail: `"${kind}" was under way when its process died`,
    repair: "finish or undo it, as the next change of the instance would",
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
          "set the entry aside, if no newer strata can finish it; a merge that was under way may leave a snapshot unreadable",
      },
    ],
  };
}

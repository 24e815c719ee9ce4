import { failure, type StrataError } from "../../errors.ts";
import { nearDetail } from "../../util/nearest.ts";

/** SNAPSHOT_NOT_FOUND, with similar names among the existing ones. */
export async function snapshotNotFound(
  name: string,
  snapshot: string,
  names: () => Promise<readonly string[]> | readonly string[],
): Promise<StrataError> {
  return failure("SNAPSHOT_NOT_FOUND", { name, snapshot, ...(await nearDetail(snapshot, names)) });
}

import { randomUUID } from "node:crypto";
import { type CloneSpec, type InstanceRecord, RECORD_VERSION } from "../../engine/contract.ts";
import { makeSeed } from "../../guest/seed.ts";
import { userKeys } from "../guest/guest.ts";
import type { Session } from "../session/session.ts";

/**
 * What makes another machine of a disk that has been booted: its seed has a new instance id, for which cloud-init lets
 * our key in and renews host name and host keys. It does not contain the user's own cloud-init data, whose effects are
 * already on the disk.
 */
export async function newMachine(
  session: Session,
  name: string,
  { image, username, snapshotsTaken }: Pick<InstanceRecord, "image" | "username" | "snapshotsTaken">,
): Promise<CloneSpec> {
  const instanceId = `i-${randomUUID()}`;
  const { publicKey } = await userKeys(session);
  return {
    name,
    seed: makeSeed({ name, instanceId, username, publicKey }),
    record: {
      version: RECORD_VERSION,
      image,
      username,
      deleted: false,
      snapshotsTaken,
      cloudInstanceId: instanceId,
      createdAt: Date.now(),
    },
  };
}

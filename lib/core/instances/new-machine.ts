import { randomUUID } from "node:crypto";
import { type CloneSpec, type InstanceRecord, RECORD_VERSION } from "../../engine/contract.ts";
import { makeSeed } from "../../guest/seed.ts";
import { userKeys } from "../guest/guest.ts";
import type { Session } from "../session/session.ts";

/** Who the guest of an instance is to the network and to cloud-init, as far as a parcel says. */
export interface Identity {
  readonly cloudInstanceId: string;
  /** `type base64` */
  readonly hostKey?: string;
}

/**
 * What brings a machine here as it is: its seed has the instance id that the guest has booted with, so cloud-init
 * renews nothing, and a command of every boot that lets our key in.
 */
export async function sameMachine(
  session: Session,
  name: string,
  { image, username, snapshotsTaken }: Pick<InstanceRecord, "image" | "username" | "snapshotsTaken">,
  { cloudInstanceId, hostKey }: Identity,
): Promise<CloneSpec> {
  const { publicKey } = await userKeys(session);
  return {
    name,
    seed: makeSeed({ name, instanceId: cloudInstanceId, username, publicKey, admits: true }),
    record: {
      version: RECORD_VERSION,
      image,
      username,
      deleted: false,
      snapshotsTaken,
      cloudInstanceId,
      createdAt: Date.now(),
      ...(hostKey === undefined ? {} : { hostKey }),
    },
  };
}

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

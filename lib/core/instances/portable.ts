import { rm } from "node:fs/promises";
import type { Readable } from "node:stream";
import type {
  AcceptSpec,
  Context,
  InstanceRecord,
  Lock,
  PackedState,
  Parcel,
} from "../../engine/contract.ts";
import { failure } from "../../errors.ts";
import type { Manifest } from "../../portable/manifest.ts";
import { atOwn, createFile } from "../../util/own-files.ts";
import type { CallOptions } from "../api/strata.ts";
import { requireGroup, unsupported } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { checkName, plainName } from "../snapshots/names.ts";
import { getInstance, requireStopped, whileLocked } from "./instances.ts";
import { newMachine, sameMachine } from "./new-machine.ts";

/** The group of the contract for instances as files. */
export function portableOf(session: Session, what: string) {
  return requireGroup(session, "portable", what, ({ portable }) => portable);
}

/**
 * Writes a stopped instance with its snapshots to a stream, as a parcel; with `snapshot`, the instance as it was then.
 * It is locked meanwhile.
 */
export async function exportInstance(
  session: Session,
  name: string,
  to: NodeJS.WritableStream,
  of: PackedState,
  call?: CallOptions,
): Promise<void> {
  const context = contextOf(call);
  const portable = await portableOf(session, "exporting");
  const instance = await getInstance(session, name);
  await whileLocked(session, instance, context, async (lock) => {
    requireExportable(lock, of);
    const parcel = await portable.pack(lock, of, context);
    for (const each of parcel.left) {
      context.warn?.(`"${name}" is exported without ${each}`);
    }
    await writeLocked(session, lock, parcel, to, of, context);
  });
}

/** Writes what makes up a locked instance or a snapshot of it. */
export async function writeLocked(
  session: Session,
  { instance }: Lock,
  { contents, files }: Parcel,
  to: NodeJS.WritableStream,
  of: PackedState,
  context: Context,
): Promise<void> {
  const { VERSION } = await import("../../portable/manifest.ts");
  const { writeParcel } = await import("../../portable/write.ts");
  const { name, record } = instance;
  const { username, image, createdAt, cloudInstanceId, hostKey } = record;
  const isWhole = of.snapshot === undefined;
  const manifest: Manifest = {
    strata: VERSION,
    engine: session.engineName,
    instance: {
      name,
      username,
      image,
      snapshotsTaken: isWhole ? record.snapshotsTaken : 0,
      createdAt,
      ...(isWhole && cloudInstanceId !== "" ? { cloudInstanceId } : {}),
      ...(isWhole && hostKey !== undefined ? { hostKey } : {}),
    },
    contents,
    files: files.map((file) => ({ name: file.name, size: file.size })),
  };
  await writeParcel(manifest, files, to, context);
}

function requireExportable({ instance }: Lock, { snapshot }: PackedState): void {
  if (snapshot === undefined) {
    requireStopped(instance, "Only stopped instances can be exported");
  }
}

/** Writes the contents of a disk to a new file, as a qcow2 image that stands on nothing. */
export async function exportDisk(
  session: Session,
  name: string,
  path: string,
  of: PackedState & { readonly disk?: string },
  call?: CallOptions,
): Promise<void> {
  const context = contextOf(call);
  const portable = await portableOf(session, "exporting");
  const { flatten } = portable;
  if (flatten === undefined) {
    throw await unsupported(session, "exporting a disk", "its disks are no files");
  }
  const instance = await getInstance(session, name);
  await whileLocked(session, instance, context, async (lock) => {
    requireExportable(lock, of);
    await atOwn(path, async () => (await createFile(path)).close());
    try {
      const { others } = await flatten.call(portable, lock, of, path, context);
      for (const disk of others) {
        context.warn?.(`disk ${disk} of "${name}" is not in the image`);
      }
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
  });
}

/**
 * Makes an instance of what `exportInstance` has written, stopped. Inside it is another machine, as a clone is, unless
 * its identity is to be kept.
 */
export async function importInstance(
  session: Session,
  from: Readable,
  options: {
    readonly name?: string;
    readonly identity?: "new" | "keep";
    readonly transit?: InstanceRecord["transit"];
  } = {},
  call?: CallOptions,
): Promise<{ readonly name: string }> {
  if (options.name !== undefined) {
    checkName("instance", options.name);
  }
  const context = contextOf(call);
  const portable = await portableOf(session, "importing");
  const { openParcel } = await import("../../portable/read.ts");
  await using parcel = await openParcel(from, context);
  const { engine, instance, contents, files } = parcel.manifest;
  if (engine !== session.engineName) {
    const reason = `it comes from engine ${engine}`;
    throw failure("UNSUPPORTED", { what: "importing it", engine: session.engineName, reason });
  }
  const name = options.name ?? plainName(instance.name);
  checkName("instance", name);
  const { transit } = options;
  const made = await specOf(session, name, instance, options.identity === "keep");
  const spec = transit === undefined ? made : { ...made, record: { ...made.record, transit } };
  await portable.check({ contents, files }, spec);
  await portable.accept({ contents, files }, parcel.files, spec, context);
  return { name };
}

async function specOf(
  session: Session,
  name: string,
  instance: Manifest["instance"],
  isSame: boolean,
): Promise<AcceptSpec> {
  if (!isSame) {
    return newMachine(session, name, instance);
  }
  const { cloudInstanceId, hostKey } = instance;
  if (cloudInstanceId === undefined) {
    throw failure("IDENTITY_TAKEN", { name, reason: "the file does not tell who it was" });
  }
  const identity = { cloudInstanceId, ...(hostKey === undefined ? {} : { hostKey }) };
  return { ...(await sameMachine(session, name, instance, identity)), same: true };
}

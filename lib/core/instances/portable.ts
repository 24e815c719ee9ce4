import type { Readable } from "node:stream";
import { failure } from "../../errors.ts";
import type { Manifest } from "../../portable/manifest.ts";
import type { CallOptions } from "../api/strata.ts";
import { requireGroup } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { checkName, plainName } from "../snapshots/names.ts";
import { getInstance, requireStopped, whileLocked } from "./instances.ts";
import { newMachine } from "./new-machine.ts";

function groupOf(session: Session, what: string) {
  return requireGroup(session, "portable", what, ({ portable }) => portable);
}

/** Writes a stopped instance with its snapshots to a stream, as a parcel. It is locked meanwhile. */
export async function exportInstance(
  session: Session,
  name: string,
  to: NodeJS.WritableStream,
  call?: CallOptions,
): Promise<void> {
  const context = contextOf(call);
  const portable = await groupOf(session, "exporting");
  const { VERSION } = await import("../../portable/manifest.ts");
  const { writeParcel } = await import("../../portable/write.ts");
  const instance = await getInstance(session, name);
  await whileLocked(session, instance, context, async (lock) => {
    requireStopped(lock.instance, "Only stopped instances can be exported");
    const { contents, files, left } = await portable.pack(lock, context);
    for (const each of left) {
      context.warn?.(`"${name}" is exported without ${each}`);
    }
    const { username, image, snapshotsTaken, createdAt } = lock.instance.record;
    const manifest: Manifest = {
      strata: VERSION,
      engine: session.engineName,
      instance: { name, username, image, snapshotsTaken, createdAt },
      contents,
      files: files.map((file) => ({ name: file.name, size: file.size })),
    };
    await writeParcel(manifest, files, to, context);
  });
}

/**
 * Makes an instance of what `exportInstance` has written, stopped. Inside it is another machine, as a clone is.
 */
export async function importInstance(
  session: Session,
  from: Readable,
  options: { readonly name?: string } = {},
  call?: CallOptions,
): Promise<{ readonly name: string }> {
  if (options.name !== undefined) {
    checkName("instance", options.name);
  }
  const context = contextOf(call);
  const portable = await groupOf(session, "importing");
  const { openParcel } = await import("../../portable/read.ts");
  await using parcel = await openParcel(from, context);
  const { engine, instance, contents, files } = parcel.manifest;
  if (engine !== session.engineName) {
    const reason = `it comes from engine ${engine}`;
    throw failure("UNSUPPORTED", { what: "importing it", engine: session.engineName, reason });
  }
  const name = options.name ?? plainName(instance.name);
  checkName("instance", name);
  const spec = await newMachine(session, name, instance);
  await portable.check({ contents, files }, spec);
  await portable.accept({ contents, files }, parcel.files, spec, context);
  return { name };
}

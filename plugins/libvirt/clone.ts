import { dirname, join } from "node:path";
import type { CloneSpec, Context, Instance } from "../../lib/backend/contract.ts";
import { establish } from "./creation.ts";
import { type Engine, type Managed, runOptions } from "./engine.ts";
import { checkChain, layerSize, readLayers } from "./layers.ts";
import { putMounts } from "./mounts.ts";
import { freePort, newMac } from "./networks.ts";
import { checkSpace } from "./pool.ts";
import { requireSettled } from "./power.ts";
import { createOverlay } from "./qcow2-overlay.ts";
import { rebase } from "./qemu-img.ts";
import { getReady } from "./recovery.ts";
import { writeSeed } from "./seed.ts";
import { clonedDomain, readDisk, readInterfaces } from "./xml/domain.ts";

/**
 * Copies an instance as it stands. The copy's one layer holds all that the original's layers hold and
 * stands on the same base image; the original is only read.
 */
export async function clone(
  engine: Engine,
  id: string,
  spec: CloneSpec,
  context: Context,
): Promise<Instance> {
  const source = await getReady(engine, id, context);
  await requireSettled(source, "Only stopped instances can be cloned");
  const { document, metadata } = source;
  const pool = await engine.pool();
  const { base, size } = await measure(source, join(pool, "images"));
  await checkSpace(pool, size);
  const sshPort = metadata.sshPort === undefined ? undefined : await freePort();
  if (metadata.adopted !== undefined)
    context.warn?.(
      `"${source.name}" has no seed of strata's: inside, the copy has the same host name, host keys and machine id`,
    );
  const macs: string[] = [];
  return establish(engine, spec.name, context, {
    async document({ uuid, folder, disk, seed }) {
      const own = {
        record: spec.record,
        folder,
        mounts: metadata.mounts,
        ...(metadata.target === undefined ? {} : { target: metadata.target }),
        ...(sshPort === undefined ? {} : { sshPort }),
        operation: { kind: "create" },
      } as const;
      const copy = clonedDomain(document, {
        name: spec.name,
        uuid,
        metadata: own,
        disk,
        seed: { old: join(metadata.folder, "seed.iso"), new: seed },
        newMac,
      });
      macs.push(...readInterfaces(copy).map(({ mac }) => mac));
      await putMounts(engine, copy, own, context);
      return copy;
    },
    async fill({ uuid, folder, disk }) {
      await copyDisk(engine, uuid, { from: readDisk(document), to: disk, base, size, context });
      const nics = macs.map((mac) => ({ mac, mode: "auto" }) as const);
      await writeSeed(folder, spec.seed, nics, context.signal);
    },
  });
}

/** The base image that the head stands on, null for none in the pool; bytes that a copy of the rest takes. */
async function measure(
  { name, document, metadata }: Managed,
  images: string,
): Promise<{ base: string | null; size: bigint }> {
  const head = readDisk(document);
  const files = await checkChain(name, await readLayers(name, metadata.folder, [head]), head);
  const last = files.at(-1) ?? head;
  const base = dirname(last) === images ? last : null;
  const sizes = await Promise.all(files.filter((file) => file !== base).map(layerSize));
  return { base, size: sizes.reduce<bigint>((sum, size) => sum + (size ?? 0n), 0n) };
}

/** An overlay on the original's head, moved down to the base: all that lies between is copied into it. */
async function copyDisk(
  engine: Engine,
  id: string,
  o: { from: string; to: string; base: string | null; size: bigint; context: Context },
): Promise<void> {
  const phase = "Copying disk";
  o.context.progress({ phase });
  const options = runOptions(engine, id, o.context);
  await createOverlay(o.to, o.from);
  await rebase(o.to, o.from, o.base, {
    ...options,
    progress: (fraction) =>
      o.context.progress({
        phase,
        done: (o.size * BigInt(Math.round(fraction * 1000))) / 1000n,
        total: o.size,
      }),
  });
}

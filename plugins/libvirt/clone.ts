import { dirname, join } from "node:path";
import type { CloneSpec, Context, Instance } from "../../lib/backend/contract.ts";
import { establish } from "./creation.ts";
import { type Engine, type Managed, runOptions } from "./engine.ts";
import { checkChain, readLayers } from "./layers.ts";
import { putMounts } from "./mounts.ts";
import { freePort, newMac } from "./networks.ts";
import { checkSpace } from "./pool.ts";
import { requireSettled } from "./power.ts";
import { createOverlay } from "./qcow2-overlay.ts";
import { flush, type RunOptions, rebase } from "./qemu-img.ts";
import { fillByClone, type Recipe, recipeOf, sizeOf } from "./recipe.ts";
import { getReady } from "./recovery.ts";
import { writeSeed } from "./seed.ts";
import { clonedDomain, readDisk, readInterfaces } from "./xml/domain.ts";

/**
 * Copies an instance as it stands. The copy's one layer holds all that the original's layers hold and
 * stands on the same base image; the original is only read. Where the file system shares blocks, the layer
 * begins as a clone of the original's lowest.
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
  const { base, size, recipe } = await measure(source, join(pool, "images"));
  await checkSpace(pool, recipe?.clone == null ? size : recipe.bytes);
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
      const options = runOptions(engine, uuid, context);
      context.progress({ phase: PHASE });
      if (recipe?.clone == null)
        await copyDisk(options, { from: readDisk(document), to: disk, base, size, context });
      else {
        await fillByClone(source.name, disk, { ...recipe, clone: recipe.clone }, options);
        await flush(disk);
      }
      const nics = macs.map((mac) => ({ mac, mode: "auto" }) as const);
      await writeSeed(folder, spec.seed, nics, context.signal);
    },
  });
}

/**
 * The base image that the head stands on, null for none in the pool; bytes that a copy of the rest takes;
 * how a file on that base comes to hold the same, null where there is none.
 */
async function measure(
  { name, document, metadata }: Managed,
  images: string,
): Promise<{ base: string | null; size: bigint; recipe: Recipe | null }> {
  const head = readDisk(document);
  const graph = await readLayers(name, metadata.folder, [head]);
  const files = await checkChain(name, graph, head);
  const last = files.at(-1) ?? head;
  const base = dirname(last) === images ? last : null;
  const size = await sizeOf(files.filter((file) => file !== base));
  return { base, size, recipe: base === null ? null : await recipeOf(graph, head, base) };
}

const PHASE = "Copying disk";

/** An overlay on the original's head, moved down to the base: all that lies between is copied into it. */
async function copyDisk(
  options: RunOptions,
  o: { from: string; to: string; base: string | null; size: bigint; context: Context },
): Promise<void> {
  await createOverlay(o.to, o.from);
  await rebase(o.to, o.from, o.base, {
    ...options,
    progress: (fraction) =>
      o.context.progress({
        phase: PHASE,
        done: (o.size * BigInt(Math.round(fraction * 1000))) / 1000n,
        total: o.size,
      }),
  });
}

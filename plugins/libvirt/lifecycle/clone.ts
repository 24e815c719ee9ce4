import { dirname, join } from "node:path";
import type { CloneSpec, Context, Instance } from "../../../lib/engine/contract.ts";
import { type LibvirtEngine, type Managed, runOptions } from "../engine.ts";
import { copyFirmware, separateVariables } from "../firmware/copy.ts";
import { getReady } from "../journal/recover.ts";
import { makeBy, recipeOf } from "../layers/flattened/recipe.ts";
import { checkChain, readLayers, sizeOf } from "../layers/layers.ts";
import { putMounts } from "../mounts/servable.ts";
import { freePort, newMac } from "../network/networks.ts";
import { CDROM, checkSpace } from "../storage/pool.ts";
import { writeSeed } from "../storage/seed.ts";
import { readDisk } from "../xml/disks.ts";
import type { Element } from "../xml/document.ts";
import { clonedDomain, readInterfaces } from "../xml/domain.ts";
import { establish } from "./creation.ts";
import { requireShutOff } from "./power.ts";

/**
 * Copies an instance in its current state. The copy has one layer with everything in the original's layers,
 * on the same base image; the original is only read. If the file system shares blocks, the layer begins as a
 * reflink of the original's lowest layer.
 */
export async function clone(
  engine: LibvirtEngine,
  id: string,
  spec: CloneSpec,
  context: Context,
): Promise<Instance> {
  const source = await getReady(engine, id, context);
  await requireShutOff(source, "Only stopped instances can be cloned");
  const { document, metadata } = source;
  const pool = await engine.pool();
  const recipe = await copyRecipe(source, join(pool, "images"));
  const { bytes } = recipe;
  await checkSpace(pool, bytes);
  const sshPort = metadata.sshPort === undefined ? undefined : await freePort();
  if (metadata.adopted !== undefined) {
    context.warn?.(
      `"${source.name}" has no seed of strata's: inside, the copy has the same host name, host keys and machine id`,
    );
  }
  const macs: string[] = [];
  let made: Element | undefined;
  return establish(engine, spec.name, context, {
    async document({ uuid, folder, disk, seed, consoleLog }) {
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
        cdrom: join(metadata.folder, CDROM),
        consoleLog,
        newMac,
      });
      separateVariables(copy, folder);
      made = copy;
      macs.push(...readInterfaces(copy).map(({ mac }) => mac));
      await putMounts(engine, copy, own, context);
      return copy;
    },
    async fill({ uuid, folder, disk }) {
      const phase = "Copying disk";
      context.progress({ phase });
      const progress = (fraction: number) =>
        context.progress({
          phase,
          done: (bytes * BigInt(Math.round(fraction * 1000))) / 1000n,
          total: bytes,
        });
      const options = { ...runOptions(engine, uuid, context), progress };
      await makeBy(recipe, { name: source.name, path: disk, layer: readDisk(document) }, options);
      await copyFirmware(engine, document, made);
      const nics = macs.map((mac) => ({ mac, mode: "auto" }) as const);
      await writeSeed(folder, spec.seed, nics, context.signal);
    },
  });
}

/**
 * How the copy's layer is made: with everything between the active layer and the base image in the pool,
 * standing on that base image, or on nothing if there is none.
 */
async function copyRecipe({ name, document, metadata }: Managed, images: string) {
  const activeLayer = readDisk(document);
  const graph = await readLayers(name, metadata.folder, [activeLayer]);
  const files = await checkChain(name, graph, activeLayer);
  const last = files.at(-1) ?? activeLayer;
  const base = dirname(last) === images ? last : null;
  const bytes = await sizeOf(files.filter((file) => file !== base));
  if (base === null) {
    return { on: base, clone: null, copied: files, bytes };
  }
  const recipe = await recipeOf(graph, activeLayer, base);
  return recipe.clone === null ? { ...recipe, bytes } : recipe;
}

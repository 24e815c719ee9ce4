import { dirname, join } from "node:path";
import type { CloneSpec, Context, Instance } from "../../../lib/engine/contract.ts";
import { type LibvirtEngine, type Managed, runOptions } from "../engine.ts";
import { copyFirmware, separateVariables } from "../firmware/copy.ts";
import { getReady } from "../journal/recover.ts";
import { makeBy, recipeOf } from "../layers/flattened/recipe.ts";
import { checkChain, layerPlace, readLayers, sizeOf } from "../layers/layers.ts";
import { newLayerPath } from "../layers/names.ts";
import { putMounts } from "../mounts/servable.ts";
import { freePort, newMac } from "../network/networks.ts";
import { requireCoverable } from "../snapshots/coverable.ts";
import { CDROM, checkSpace } from "../storage/pool.ts";
import { writeSeed } from "../storage/seed.ts";
import { coveredDisks, findDisk, writtenDisks } from "../xml/disks.ts";
import { type Element, find } from "../xml/document.ts";
import { clonedDomain, readInterfaces } from "../xml/domain.ts";
import { establish } from "./creation.ts";
import { requireShutOff } from "./power.ts";

/**
 * Copies an instance in its current state. For each disk that snapshots cover, the copy has one layer with everything
 * in the original's layers, on the same base image; the original is only read. If the file system shares blocks, the
 * layer begins as a reflink of the original's lowest layer.
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
  const copies = await copyRecipes(source, join(pool, "images"));
  const bytes = copies.reduce((sum, { recipe }) => sum + recipe.bytes, 0n);
  await checkSpace(pool, bytes);
  const without = leftOut(document, metadata);
  const sshPort = metadata.sshPort === undefined ? undefined : await freePort();
  if (metadata.adopted !== undefined) {
    context.warn?.(
      `"${source.name}" has no seed of strata's: inside, the copy has the same host name, host keys and machine id`,
    );
  }
  const macs: string[] = [];
  let made: Element | undefined;
  /** The files of the copy, by target. */
  const files = new Map<string, string>();
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
      for (const [at, { target }] of copies.entries()) {
        files.set(target, at === 0 ? disk : newLayerPath(folder));
      }
      const copy = clonedDomain(document, {
        name: spec.name,
        uuid,
        metadata: own,
        disks: files,
        without,
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
    async fill({ uuid, folder }) {
      const phase = "Copying disk";
      context.progress({ phase });
      let before = 0n;
      for (const { target, layer, recipe } of copies) {
        const progress = (fraction: number) =>
          context.progress({
            phase,
            done: before + (recipe.bytes * BigInt(Math.round(fraction * 1000))) / 1000n,
            total: bytes,
          });
        const options = { ...runOptions(engine, uuid, context), progress };
        await makeBy(recipe, { name: source.name, path: files.get(target) ?? "", layer }, options);
        before += recipe.bytes;
      }
      await copyFirmware(engine, document, made);
      const nics = macs.map((mac) => ({ mac, mode: "auto" }) as const);
      await writeSeed(folder, spec.seed, nics, context.signal);
    },
  });
}

/** The disks that a copy cannot have: another guest would write the same file. One that is shared is meant to be. */
function leftOut(document: Element, metadata: Managed["metadata"]): string[] {
  return writtenDisks(document, metadata).flatMap(({ target, left }) =>
    left === undefined || find(findDisk(document, target), "shareable") !== undefined ? [] : [target],
  );
}

/** How the layers of the copy are made, for each of its disks. */
async function copyRecipes(source: Managed, images: string) {
  const { document, metadata } = source;
  const disks = coveredDisks(document, metadata);
  requireCoverable(source, disks, "a copy");
  return Promise.all(
    disks.map(async ({ target, file }) => ({
      target,
      layer: file,
      recipe: await copyRecipe(source, file, images),
    })),
  );
}

/**
 * How the copy's layer is made: with everything between the active layer and the base image in the pool,
 * standing on that base image, or on nothing if there is none.
 */
async function copyRecipe(source: Managed, activeLayer: string, images: string) {
  const graph = await readLayers(layerPlace(source), [activeLayer]);
  const files = await checkChain(source.name, graph, activeLayer);
  const last = files.at(-1) ?? activeLayer;
  const base = dirname(last) === images ? last : null;
  const bytes = await sizeOf(files.filter((file) => file !== base));
  if (base === null) {
    return { on: base, clone: null, copied: files, bytes, layerFormat: graph.formatOf(activeLayer) };
  }
  const recipe = { ...(await recipeOf(graph, activeLayer, base)), layerFormat: "qcow2" as const };
  return recipe.clone === null ? { ...recipe, bytes } : recipe;
}

import type { Context, PackedState } from "../../../lib/engine/contract.ts";
import { failure, isStrataError } from "../../../lib/errors.ts";
import { type LibvirtEngine, runOptions } from "../engine.ts";
import { getReady } from "../journal/recover.ts";
import { checkChain, layerPlace, readLayers, sizeOf } from "../layers/layers.ts";
import { writeCompressed } from "../qcow2/qemu-img.ts";
import { readState } from "./state.ts";

/** Writes the contents of one disk as an image that stands on nothing, as the contract says. */
export async function flatten(
  engine: LibvirtEngine,
  id: string,
  { disk, ...of }: PackedState & { readonly disk?: string },
  to: string,
  context: Context,
): Promise<{ readonly disk: string; readonly others: readonly string[] }> {
  const managed = await getReady(engine, id, context);
  const { covered } = await readState(managed, of);
  const chosen = disk === undefined ? covered[0] : covered.find(({ target }) => target === disk);
  if (chosen === undefined) {
    throw failure("DISK_NOT_FOUND", { name: managed.name, disk: disk ?? "" });
  }
  const graph = await readLayers(layerPlace(managed), [chosen.file]);
  await checkChain(managed.name, graph, chosen.file);
  const total = await sizeOf(graph.chain(chosen.file));
  const progress = (fraction: number) =>
    context.progress({
      phase: "Exporting",
      done: (total * BigInt(Math.round(fraction * 1000))) / 1000n,
      total,
    });
  const from = { path: chosen.file, format: graph.formatOf(chosen.file) };
  try {
    await writeCompressed(from, to, { ...runOptions(engine, id, context), progress });
  } catch (error) {
    // The file is in a folder of the user's, not in the pool.
    throw isStrataError(error) && error.code === "NO_SPACE"
      ? failure("NO_SPACE", { where: to }, error)
      : error;
  }
  return {
    disk: chosen.target,
    others: covered.filter((each) => each !== chosen).map(({ target }) => target),
  };
}

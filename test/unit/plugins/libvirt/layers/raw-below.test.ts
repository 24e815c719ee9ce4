import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { checkChain, readLayers } from "../../../../../plugins/libvirt/layers/layers.ts";
import { newLayerPath } from "../../../../../plugins/libvirt/layers/names.ts";
import { readImage } from "../../../../../plugins/libvirt/qcow2/image.ts";
import { createOverlay, emptyOverlay } from "../../../../../plugins/libvirt/qcow2/overlay.ts";

describe("a raw file below layers", () => {
  let folder: string;
  let elsewhere: string;
  /** A raw file whose guest has written a header that names another file. */
  let raw: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "strata-raw-"));
    elsewhere = await mkdtemp(join(tmpdir(), "strata-raw-"));
    raw = join(elsewhere, "disk.raw");
    const { header } = emptyOverlay("/etc/passwd", 1n << 40n);
    await writeFile(raw, Buffer.concat([header, Buffer.alloc(65536)]));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true });
    await rm(elsewhere, { recursive: true });
  });

  it("ends the chain, whatever its guest has written into it", async () => {
    const layer = newLayerPath(folder);
    await createOverlay(layer, raw, { format: "raw" });
    for (const own of [new Map([[raw, "raw"]] as const), new Map()]) {
      const graph = await readLayers({ name: "web", folder, own }, [layer, raw]);
      expect(graph.chain(layer)).to.deep.equal([layer, raw]);
      expect(graph.chain(raw)).to.deep.equal([raw]);
      expect(graph.formatOf(raw)).to.equal("raw");
      expect(graph.formatOf(layer)).to.equal("qcow2");
      expect(await checkChain("web", graph, layer)).to.deep.equal([layer, raw]);
    }
  });

  it("ends the chain of an overlay elsewhere, which says its format alone", async () => {
    const overlay = join(elsewhere, "overlay.qcow2");
    await createOverlay(overlay, raw, { format: "raw" });
    const graph = await readLayers({ name: "web", folder, own: new Map() }, [overlay]);
    expect(graph.chain(overlay)).to.deep.equal([overlay, raw]);
    expect(graph.formatOf(raw)).to.equal("raw");
  });

  it("is as large as it is, up to a whole sector", async () => {
    await writeFile(raw, Buffer.alloc(1000));
    expect((await readImage(raw, "raw")).virtualSize).to.equal(1024n);
  });

  it("that is gone is missed", async () => {
    const layer = newLayerPath(folder);
    await createOverlay(layer, raw, { format: "raw" });
    await rm(raw);
    const graph = await readLayers({ name: "web", folder, own: new Map() }, [layer]);
    const missing = await checkChain("web", graph, layer).catch((error: unknown) => String(error));
    expect(missing).to.contain(raw);
  });
});

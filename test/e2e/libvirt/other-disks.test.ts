import { randomUUID } from "node:crypto";
import { chmod } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { addPendingRemoval } from "../../../plugins/libvirt/layers/pending-removals.ts";
import { readHeader } from "../../../plugins/libvirt/qcow2/header.ts";
import { createOverlay } from "../../../plugins/libvirt/qcow2/overlay.ts";
import { DomainXmlFlags } from "../../../plugins/libvirt/rpc/index.ts";
import { exists } from "../../../plugins/libvirt/storage/pool.ts";
import { sceneForEach } from "../../support/libvirt/scene-hooks.ts";
import type { Scene, Stage } from "../../support/libvirt/virsh-scene.ts";

/** What a definition names is the user's, whichever disk names it. */
describe("a second disk of the definition", () => {
  let stage: Stage;
  let scene: Scene;
  sceneForEach((opened, each) => {
    stage = opened;
    scene = each;
  });

  const layerPath = () => join(scene.folder, `layer-${randomUUID()}.qcow2`);

  async function attach(file: string): Promise<void> {
    const { connection } = stage.fixture;
    const domain = await connection.lookupDomainByUuid(scene.instance.id);
    const disk = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${file}'/><target dev='vdz' bus='virtio'/></disk>`;
    const xml = await domain.getXml(DomainXmlFlags.INACTIVE);
    await connection.defineDomain(xml.replace("</devices>", `${disk}</devices>`));
  }

  async function fill(file: string): Promise<string> {
    await execa("qemu-io", ["-f", "qcow2", "-c", "write -P 77 3M 64k", file]);
    return stage.contents.of(file);
  }

  for (const [what, name] of [
    ["of a name of the user's", () => join(scene.folder, "data.qcow2")],
    ["of a layer's name", layerPath],
  ] as const) {
    for (const [how, prepare] of [
      ["empty", async () => {}],
      ["with data", fill],
    ] as const) {
      it(`in the folder, ${what} and ${how}, is nothing that doctor would remove`, async () => {
        const path = name();
        await execa("qemu-img", ["create", "-q", "-f", "qcow2", path, "16M"]);
        await chmod(path, 0o600);
        await prepare(path);
        await attach(path);
        expect(await scene.findings()).to.deep.equal([]);
      });
    }
  }

  it("that is a layer which was let go stays as it is", async () => {
    const path = layerPath();
    await execa("qemu-img", ["create", "-q", "-f", "qcow2", path, "16M"]);
    const digest = await fill(path);
    await addPendingRemoval(path);
    await attach(path);
    await scene.powerOff();
    expect(await exists(path)).to.equal(true);
    expect(await stage.contents.of(path)).to.equal(digest);
  });

  it("that is a layer which was let go is not merged into what stands on it", async () => {
    await scene.chain(["a"], 2);
    const path = layerPath();
    await createOverlay(path, (await readHeader(await scene.activeLayer())).backing ?? "");
    const digest = await fill(path);
    await createOverlay(layerPath(), path);
    await addPendingRemoval(path);
    await attach(path);
    await scene.powerOff();
    expect(await exists(path)).to.equal(true);
    expect(await stage.contents.of(path)).to.equal(digest);
  });

  it("elsewhere keeps the layer that it stands on, though that was let go", async () => {
    await scene.chain(["a", "b"], 2);
    const layer = (await readHeader(await scene.activeLayer())).backing ?? "";
    const overlay = join(stage.fixture.folder, `${scene.name}-second.qcow2`);
    await createOverlay(overlay, layer);
    const digest = await fill(overlay);
    await scene.restore("a");
    await attach(overlay);
    await stage.strata.delete([{ instance: scene.name, snapshot: "b" }]);
    await scene.powerOff();
    expect(await stage.contents.of(overlay)).to.equal(digest);
    expect((await scene.findings()).map(({ kind }) => kind)).to.deep.equal([]);
  });
});

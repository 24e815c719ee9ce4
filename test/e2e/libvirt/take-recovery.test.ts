import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { codeOf } from "../../support/libvirt/fixture.ts";
import { sceneForEach } from "../../support/libvirt/scene-hooks.ts";
import type { Scene, Stage } from "../../support/libvirt/virsh-scene.ts";

describe("a take that was interrupted", () => {
  let stage: Stage;
  let scene: Scene;
  let overlay: string;
  sceneForEach((opened, each) => {
    stage = opened;
    scene = each;
  });
  beforeEach(async () => {
    await scene.take("a");
    const activeLayer = await scene.activeLayer();
    overlay = join(scene.folder, "layer-00000000-0000-4000-8000-000000000000.qcow2");
    await execa("qemu-img", ["create", "-q", "-f", "qcow2", "-b", activeLayer, "-F", "qcow2", overlay]);
    await execa("qemu-io", ["-f", "qcow2", "-c", "write -P 1 0 64k", overlay]);
    const domain = await stage.fixture.connection.lookupDomainByUuid(scene.instance.id);
    const xml = await domain.getMetadata(2, "urn:strata:1", 2);
    const inner = xml?.replace(/ xmlns:strata="[^"]*"/, "").replaceAll("strata:", "") ?? "";
    const taking = `<snapshot name="half" overlay="${overlay}" frozen="${activeLayer}" taken="2" created-at="1"/>`;
    await domain.setMetadata(2, inner.replace("<image", `${taking}<image`), "strata", "urn:strata:1", 2);
  });

  it("is given up when finishing it was refused twice, and keeps nobody from changes", async () => {
    // It says that reading it takes what no QEMU knows.
    {
      await using file = await open(overlay, "r+");
      await file.write(Buffer.from([0x40]), 0, 1, 72);
    }
    expect(await codeOf(scene.restore("a"))).to.equal("PROGRAM_FAILED");
    await scene.restore("a");
    expect(existsSync(overlay)).to.equal(true);
    await scene.requireUsable();
  });

  it("does not take its overlay for an empty one because its tables were cut off", async () => {
    await execa("truncate", ["-s", "196608", overlay]);
    await scene.restore("a");
    expect(existsSync(overlay)).to.equal(true);
    await scene.requireUsable();
  });
});

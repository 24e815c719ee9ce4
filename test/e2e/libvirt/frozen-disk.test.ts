import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { context, lockOf } from "../../../lib/engine/conformance/fixture.ts";
import type { Context } from "../../../lib/engine/contract.ts";
import { writeJournal } from "../../../plugins/libvirt/journal/journal.ts";
import { readHeader } from "../../../plugins/libvirt/qcow2/header.ts";
import { codeOf, whileLocked } from "../../support/libvirt/fixture.ts";
import { sceneForEach } from "../../support/libvirt/scene-hooks.ts";
import { virsh } from "../../support/libvirt/virsh.ts";
import type { Scene, Stage } from "../../support/libvirt/virsh-scene.ts";

/** An old definition that virsh brings back has the instance write what a snapshot keeps. */
describe("a disk that a snapshot froze", () => {
  let stage: Stage;
  let scene: Scene;
  /** The definition of before the last snapshot, and the file that it writes. */
  let older: string;
  let frozen: string;
  sceneForEach((opened, each) => {
    stage = opened;
    scene = each;
  });
  beforeEach(async () => {
    await scene.chain(["a", "b", "c", "d", "e"], 2);
    frozen = await scene.activeLayer();
    older = join(stage.fixture.folder, `${scene.name}.xml`);
    await writeFile(older, await virsh("dumpxml", "--inactive", scene.name));
    await scene.chain(["f"], 7);
  });

  const bringBack = () => void execFileSync("virsh", ["-q", "define", older]);
  const sizeOf = async (path: string) => (await readHeader(path)).virtualSize;

  async function resize(change: { readonly disk?: bigint; readonly cpus?: number }): Promise<string> {
    const { fixture, instance } = { fixture: stage.fixture, instance: scene.instance };
    return codeOf(
      whileLocked(fixture, instance, () =>
        fixture.engine.instances.resize(lockOf(instance.id), change, context()),
      ),
    );
  }

  it("is not written by a guest that was being started when the definition came back", async () => {
    const { fixture } = stage;
    let back = false;
    const given: Context = {
      ...context(),
      progress({ phase }) {
        if (!phase.startsWith("Building ") || back) {
          return;
        }
        back = true;
        bringBack();
      },
    };
    const code = await codeOf(
      whileLocked(fixture, scene.instance, () =>
        fixture.engine.instances.start(lockOf(scene.instance.id), given),
      ),
    );
    expect(back).to.equal(true);
    expect(code).to.equal("RECORDS_DIFFER");
    expect(await virsh("domstate", scene.name)).to.equal("shut off");
  });

  it("does not grow, and the instance does once it has a disk of its own", async () => {
    const size = await sizeOf(frozen);
    bringBack();
    expect(await resize({ disk: 2n * size })).to.equal("RECORDS_DIFFER");
    expect(await sizeOf(frozen)).to.equal(size);
    await scene.restore("f");
    expect(await resize({ disk: 2n * size })).to.equal("nothing");
    expect(await sizeOf(await scene.activeLayer())).to.equal(2n * size);
    expect(await sizeOf(frozen)).to.equal(size);
  });

  it("is no matter where the disk is to stay as large as it is", async () => {
    bringBack();
    expect(await resize({ cpus: 2 })).to.equal("nothing");
  });

  it("does not grow where a resize died before the definition came back", async () => {
    const size = await sizeOf(frozen);
    bringBack();
    await writeJournal(scene.folder, { kind: "resize", disk: String(2n * size) });
    await scene.powerOff();
    await scene.powerOff();
    expect(await sizeOf(frozen)).to.equal(size);
    await scene.restore("f");
    await scene.requireReadable("after the resize was given up");
  });
});

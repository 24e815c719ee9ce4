import { expect } from "chai";
import { Client } from "../../../plugins/libvirt/rpc/client.ts";
import { sceneForEach } from "../../support/libvirt/scene-hooks.ts";
import type { Scene, Stage } from "../../support/libvirt/virsh-scene.ts";

/** What an operation costs where libvirt is far or busy: how often it is asked. */
describe("calls of libvirt", () => {
  const { call } = Client.prototype;
  let stage: Stage;
  let scene: Scene;
  let calls = 0;
  sceneForEach((opened, each) => {
    stage = opened;
    scene = each;
  });
  before(() => {
    Client.prototype.call = function (this: Client, ...args) {
      calls += 1;
      return call.apply(this, args);
    } as typeof call;
  });
  beforeEach(async () => {
    await scene.chain(["a", "b"], 2);
  });
  after(() => {
    Client.prototype.call = call;
  });

  const operations: Readonly<Record<string, readonly [most: number, work: () => Promise<unknown>]>> = {
    "a take": [13, () => stage.strata.snapshots.take(scene.name, { name: "c" })],
    "a restore": [20, () => stage.strata.snapshots.restore({ instance: scene.name, snapshot: "a" })],
    "a rename": [18, () => stage.strata.settings.set(`local.${scene.name}.b.name`, "c")],
    "a deletion": [22, () => stage.strata.delete([{ instance: scene.name, snapshot: "b" }])],
  };
  for (const [what, [most, work]] of Object.entries(operations)) {
    it(`are at most ${most} for ${what}`, async () => {
      calls = 0;
      await work();
      expect(calls).to.be.within(1, most);
    });
  }
});

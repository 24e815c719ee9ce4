import { expect } from "chai";
import { isStrataError } from "../../../lib/errors.ts";
import { type PrivateDaemon, privateDaemon } from "../../support/libvirt/private-daemon.ts";
import { virsh } from "../../support/libvirt/virsh.ts";
import { openStage, Scene, type Stage } from "../../support/libvirt/virsh-scene.ts";
import { type Power, VERBS, type Verb } from "../../support/libvirt/virsh-verbs.ts";

/** What libvirt says of a verb that this version does not have, or not for such a snapshot. */
const REFUSALS = [
  /revert to external snapshot not supported yet/,
  /could not find base disk source in disk source chain/,
  /deletion of external (?:children )?disk snapshots? (?:with .*)?not supported/,
  /deletion of .* not supported/,
];

/** What strata does first afterwards; each is tried on an instance of its own. */
const ACTS: Readonly<Record<string, (scene: Scene, verb: Verb) => Promise<void>>> = {
  async "starts and takes"(scene, verb) {
    if (verb.frozen) {
      await scene.powerOff();
      await refused(scene.start());
      return refused(scene.stage.strata.snapshots.take(scene.name, { name: "mine" }));
    }
    await scene.start();
    expect(await virsh("domstate", scene.name)).to.equal("running");
    await scene.powerOff();
    expect(await virsh("domstate", scene.name)).to.equal("shut off");
    await scene.requireReadable("after a start and a stop");
    await scene.take("mine");
    await scene.write(20);
  },
  async restores(scene) {
    await scene.powerOff();
    const [first = ""] = external(scene);
    await scene.restore(first);
  },
  async deletes(scene) {
    const snapshot = external(scene).at(-1) ?? "";
    await scene.stage.strata.delete([{ instance: scene.name, snapshot }]);
    scene.expected.snapshots.delete(snapshot);
    await scene.requireReadable("after a deletion");
    await scene.powerOff();
  },
};

function external({ expected }: Scene): string[] {
  return [...expected.snapshots.keys()].filter((name) => !expected.internal.has(name));
}

async function refused(work: Promise<unknown>): Promise<void> {
  const error = await work.then(
    () => new Error("it was not refused, and would write what a snapshot froze"),
    (reason: unknown) => reason,
  );
  if (!isStrataError(error) || ["INTERNAL", "LOCK_REQUIRED"].includes(error.code)) {
    throw error;
  }
}

/** Every verb of libvirt's that its version has, and then every one of strata's: nothing is lost. */
describe("after virsh", () => {
  let daemon: PrivateDaemon;
  let stage: Stage;
  before(async () => {
    daemon = await privateDaemon();
    stage = await openStage(daemon.uri);
  });
  after(async () => {
    await stage[Symbol.asyncDispose]();
    await daemon[Symbol.asyncDispose]();
  });

  async function prepare(verb: Verb, power: Power, scene: Scene): Promise<string | null> {
    await verb.setting(scene);
    if (power === "running") {
      await scene.run();
    }
    const reason = await verb.act(scene, power);
    if (reason !== null && !REFUSALS.some((known) => known.test(reason))) {
      throw new Error(reason);
    }
    return reason;
  }

  /** Resolves to what libvirt says where this version of it does not have the verb: nothing is lost by that either. */
  async function attempt(verb: Verb, power: Power, work: (scene: Scene, verb: Verb) => Promise<void>) {
    await using scene = await Scene.open(stage);
    const refusal = await prepare(verb, power, scene);
    await scene.requireReadable("after virsh");
    if (refusal !== null) {
      return refusal;
    }
    const found = await scene.findings();
    if (verb.frozen) {
      expect(found, "what doctor finds").not.to.deep.equal([]);
    }
    await work(scene, verb);
    await scene.requireReadable("after strata");
    await scene.requireUsable();
    await scene.purge();
    return null;
  }

  for (const verb of VERBS) {
    for (const power of verb.power) {
      describe(`${verb.what}, ${power},`, () => {
        let refusal: string | null = null;
        for (const [act, work] of Object.entries(ACTS)) {
          it(`strata ${act}`, async function () {
            // What one instance was refused, the next one is as well.
            refusal ??= await attempt(verb, power, work);
            if (refusal !== null) {
              mark(this, refusal);
            }
          });
        }
      });
    }
  }
});

/** Says beside a test that there was nothing to try but that a refusal changes nothing. */
function mark({ test }: Mocha.Context, refusal: string): void {
  if (test !== undefined) {
    test.title += ` (refused by this libvirt: ${refusal.split("\n").at(-1)})`;
  }
}

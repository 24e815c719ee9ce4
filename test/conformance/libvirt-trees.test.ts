import { randomTrees } from "../../lib/engine/conformance/random-tree.ts";
import { type LibvirtFixture, libvirtFixture } from "../support/libvirt/fixture.ts";
import { type PrivateDaemon, privateDaemon } from "../support/libvirt/private-daemon.ts";

const runs = Number(process.env.STRATA_TREES ?? 20);

/** On a daemon of their own, so that they need not wait for what is on the host's. */
describe("snapshot trees on libvirt", () => {
  let daemon: PrivateDaemon;
  let fixture: LibvirtFixture;
  before(async () => {
    daemon = await privateDaemon();
    // Chains so short that the random trees are full of keyframes.
    fixture = await libvirtFixture({ uri: daemon.uri, "chain-length": "6" });
  });
  after(async () => {
    await fixture[Symbol.asyncDispose]();
    await daemon[Symbol.asyncDispose]();
  });

  it(`hold what a plain model holds, over ${runs} sequences of 30 steps`, () =>
    randomTrees(fixture, { runs, steps: 30 }));
});

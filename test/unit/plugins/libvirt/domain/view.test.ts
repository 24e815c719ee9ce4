import { expect } from "chai";
import { readState } from "../../../../../plugins/libvirt/domain/view.ts";
import { type Domain, DomainState, PausedReason } from "../../../../../plugins/libvirt/rpc/index.ts";

const stateOf = (state: number, reason = 0, saved = false) =>
  readState({} as Domain, {}, { stateOf: async () => ({ state, reason }), isSaved: async () => saved });

describe("the state of a domain", () => {
  it("is Suspended for a guest that somebody paused, and not for one that QEMU pauses on its way", async () => {
    expect(await stateOf(DomainState.PAUSED, PausedReason.USER)).to.equal("suspended");
    expect(await stateOf(DomainState.PAUSED, PausedReason.IOERROR)).to.equal("suspended");
    expect(await stateOf(DomainState.PAUSED, PausedReason.STARTING_UP)).to.equal("starting");
    expect(await stateOf(DomainState.PAUSED, PausedReason.SAVE)).to.equal("suspending");
    expect(await stateOf(DomainState.PAUSED, PausedReason.SHUTTING_DOWN)).to.equal("stopping");
  });

  it("is Suspended for what does not run and has its memory saved", async () => {
    expect(await stateOf(DomainState.SHUTOFF, 0, true)).to.equal("suspended");
    expect(await stateOf(DomainState.SHUTOFF, 0, false)).to.equal("stopped");
  });
});

import { expect } from "chai";
import { openStrata } from "../../../../../lib/core/session/open.ts";
import { memoryEngine } from "../../../../../plugins/memory/index.ts";
import { type CliRoom, cliRoom } from "../../../../support/cli.ts";

describe("strata wait", () => {
  let at: CliRoom;
  beforeEach(async () => {
    // One engine for all commands, so that one can wait for what another does.
    const engine = { ...memoryEngine(), [Symbol.asyncDispose]: async () => {} };
    at = await cliRoom((options) => openStrata({ ...options, engine }));
    await at.done("launch", "any", "-n", "web");
  });
  afterEach(() => at[Symbol.asyncDispose]());

  it("ends at once where the instance is in that state", async () => {
    for (const state of ["running", "address", "ssh", "cloud-init"]) {
      expect(await at.done("wait", "--for", state, "--timeout", "5", "web"), state).to.equal("");
    }
    await at.done("stop", "web");
    expect(await at.done("wait", "--for", "stopped", "--timeout", "5", "web")).to.equal("");
  });

  it("ends once somebody brings the instance into that state", async () => {
    await at.done("stop", "web");
    const waiting = at.strata("wait", "--for", "ssh", "--timeout", "60", "web");
    await at.done("start", "web");
    expect((await waiting).code).to.equal(0);
    const stopping = at.strata("wait", "--for", "stopped", "--timeout", "60", "web");
    await at.done("stop", "web");
    expect((await stopping).code).to.equal(0);
  });

  it("fails after its time, and says what is missing", async () => {
    const stopped = await at.strata("wait", "--for", "stopped", "--timeout", "1", "web");
    expect([stopped.code, stopped.stderr]).to.deep.equal([
      10,
      'strata: timed out after 1 s: waiting for "web": it is not stopped\n',
    ]);
    await at.done("stop", "web");
    const address = await at.strata("wait", "--for", "address", "--timeout", "1", "web");
    expect(address.code).to.equal(10);
    expect(address.stderr).to.contain('waiting for "web": no address yet\n');
    expect(address.stderr).to.contain("The last lines of its console:\n  web has booted\n");
  });

  it("waits for none of several if one does not exist, and takes no other state", async () => {
    expect((await at.strata("wait", "--for", "stopped", "web", "nobody")).code).to.equal(3);
    const { code, stderr } = await at.strata("wait", "--for", "happy", "web");
    expect(code).to.equal(2);
    expect(stderr).to.contain("running, stopped, address, ssh, cloud-init");
  });
}).timeout(20_000);

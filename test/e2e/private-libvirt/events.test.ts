import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { expect } from "chai";
import { context, newSpec } from "../../../lib/engine/conformance/fixture.ts";
import { libvirtFixture } from "../../support/libvirt/fixture.ts";
import { privateDaemon } from "../../support/libvirt/private-daemon.ts";
import { PROGRAM } from "../../support/program.ts";

/** `strata events` as a process of its own, whose lines are read one by one. */
function startEvents(uri: string) {
  const child = spawn(process.execPath, [PROGRAM, "events", "--format", "json"], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, STRATA_DRIVER: "libvirt", STRATA_LIBVIRT_URI: uri },
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    ended: once(child, "exit"),
    async next(): Promise<Record<string, unknown>> {
      const { done, value } = await lines.next();
      if (done === true) {
        throw new Error("`strata events` has ended");
      }
      return JSON.parse(value);
    },
  };
}

describe("strata events over a restart of libvirtd", () => {
  it("goes on, and tells what happens once it is back", async () => {
    await using daemon = await privateDaemon();
    const events = startEvents(daemon.uri);
    try {
      expect(await events.next()).to.include({ event: "resync" });
      await daemon.signal("SIGKILL");
      // Whoever gives up after one attempt has ended long before a daemon answers.
      await daemon.start();
      expect(await events.next()).to.include({ event: "resync" });
      await using fixture = await libvirtFixture({ uri: daemon.uri });
      const { name } = await fixture.engine.instances.create(newSpec(fixture), context());
      let told = await events.next();
      // Each kind of libvirt's events has a gap of its own.
      while (told.event === "resync") {
        told = await events.next();
      }
      expect(told).to.include({ event: "create", instance: name });
    } finally {
      events.child.kill("SIGINT");
    }
    expect(await events.ended).to.deep.equal([0, null]);
  });

  it("ends at once when it is told to while there is no daemon", async () => {
    await using daemon = await privateDaemon();
    const events = startEvents(daemon.uri);
    expect(await events.next()).to.include({ event: "resync" });
    await daemon.signal("SIGKILL");
    events.child.kill("SIGINT");
    const [code] = await events.ended;
    expect(code).to.equal(0);
  });
});

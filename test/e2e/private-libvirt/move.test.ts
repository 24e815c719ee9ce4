import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { context, newSpec } from "../../../lib/engine/conformance/fixture.ts";
import { asStrataError } from "../../../lib/errors.ts";
import { type Receiver, Strata } from "../../../lib/index.ts";
import { type LibvirtFixture, libvirtFixture } from "../../support/libvirt/fixture.ts";
import { type PrivateDaemon, privateDaemon } from "../../support/libvirt/private-daemon.ts";
import { Contents } from "../../support/libvirt/virsh.ts";
import { done, PROGRAM, strata } from "../../support/program.ts";
import { type FarHost, farHost } from "../../support/remote/far-host.ts";

/** From one libvirt to another; only one of the two may ever use the instance. */
describe("an instance that moves to another host", () => {
  let daemon: PrivateDaemon;
  let far: FarHost;
  let fixture: LibvirtFixture;
  let here: Strata;
  let there: Strata;
  let contents: Contents;
  let made = 0;
  let name = "";
  const env = () => ({ ...far.env, STRATA_DRIVER: "libvirt" });

  before(async () => {
    daemon = await privateDaemon();
    far = await farHost({ STRATA_DRIVER: "libvirt", STRATA_LIBVIRT_URI: daemon.uri });
    await done(["context", "add", "box", far.address], { env: far.env });
    fixture = await libvirtFixture();
    contents = new Contents(fixture.folder);
    here = await Strata.open({ driver: "libvirt", folders: { config: join(far.folder, "here") } });
    there = await Strata.open({
      driver: "libvirt",
      folders: { config: join(far.folder, "there") },
      settings: { "local.libvirt.uri": daemon.uri },
    });
  });
  after(async () => {
    await here?.[Symbol.asyncDispose]();
    await there?.[Symbol.asyncDispose]();
    await fixture?.[Symbol.asyncDispose]();
    await far?.[Symbol.asyncDispose]();
    await daemon?.[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    made += 1;
    name = `strata-test-move-${process.pid}-${made}`;
    const instance = await fixture.engine.instances.create(newSpec(fixture, { name }), context());
    await fixture.write(instance, 7);
    await here.snapshots.take(name, { name: "clean" });
    await fixture.write(instance, 8);
  });
  afterEach(async () => {
    for (const host of [here, there]) {
      await host.delete([{ instance: name }], { purge: true, skipMissing: true });
    }
  });

  const stateOn = async (host: Strata) =>
    (await host.instances.list()).find((each) => each.name === name)?.state ?? "none";
  const states = async () => [await stateOn(here), await stateOn(there)];
  const move = () => strata(["move", name, "box:"], { env: env() });

  /** What a move is to another host, by the library; each step may be made to fail after it was done, or before. */
  const receiver = (fail: string): Receiver => {
    const step = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
      if (fail === `before ${what}`) {
        throw new Error(fail);
      }
      const result = await work();
      if (fail === `after ${what}`) {
        throw new Error(fail);
      }
      return result;
    };
    return {
      accept: (id, send) =>
        step("accept", async () => {
          const stream = new PassThrough();
          const read = buffer(stream);
          await send(stream);
          stream.end();
          await there.instances.takeIn(Readable.from([await read], { objectMode: false }), { name, id });
        }),
      admit: (id) => step("admit", () => there.instances.admit(name, { id })),
    };
  };

  it("is there with its snapshots and contents, the machine that it was, and here no more", async () => {
    const [was] = await here.instances.info([name], { host: true, askGuests: false });
    const found = await fixture.engine.instances.find(name);
    const file = found === null ? "" : (await fixture.layers(found)).activeLayer;
    const digest = await contents.of(file);
    const { code, stdout, stderr } = await move();
    expect([code, stderr, stdout]).to.deep.equal([0, "", `Moved: ${name} to box:${name}\n`]);
    expect(await states()).to.deep.equal(["none", "Stopped"]);
    const [is] = await there.instances.info([name], { host: true, askGuests: false });
    expect(is?.macs).to.deep.equal(was?.macs);
    expect(is?.id).to.equal(was?.id);
    const folder = join(daemon.pool, "instances", String(found?.id));
    const digests: string[] = [];
    for (const layer of (await readdir(folder)).filter((each) => each.startsWith("layer-"))) {
      digests.push(await contents.of(join(folder, layer)));
    }
    expect(digests).to.include(digest);
    await there.snapshots.restore({ instance: name, snapshot: "clean" });
    await there.snapshots.take(name);
  });

  const CUTS: Readonly<Record<string, readonly [string, string]>> = {
    "before accept": ["Stopped", "none"],
    "after accept": ["Stopped", "Moving"],
    "before admit": ["Moving", "Moving"],
    "after admit": ["Moving", "Stopped"],
  };
  for (const [cut, left] of Object.entries(CUTS)) {
    it(`is usable on one host at most where it is cut off ${cut}, and a repetition finishes it`, async () => {
      const error = await here.instances.handOver(name, receiver(cut)).catch((reason: unknown) => reason);
      expect(String(error)).to.contain(cut);
      expect(await states()).to.deep.equal(left);
      for (const [at, host] of [here, there].entries()) {
        if (left[at] === "Moving") {
          const refused = await host.snapshots.take(name).catch(asStrataError);
          expect(refused).to.include({ code: "INSTANCE_MOVING" });
        }
      }
      const { code, stderr } = await move();
      expect([code, stderr]).to.deep.equal([0, ""]);
      expect(await states()).to.deep.equal(["none", "Stopped"]);
    });
  }

  it("is usable here if the other host has lost what had come, once that is certain", async () => {
    await here.instances.handOver(name, receiver("before admit")).catch(() => {});
    await there.delete([{ instance: name }], { purge: true });
    expect((await move()).code).to.equal(0);
    expect(await states()).to.deep.equal(["none", "Stopped"]);
  });

  it("is made usable by recover where the user says so", async () => {
    await here.instances.handOver(name, receiver("before admit")).catch(() => {});
    await there.delete([{ instance: name }], { purge: true });
    await here.instances.recover(name);
    await here.snapshots.take(name);
    expect(await states()).to.deep.equal(["Stopped", "none"]);
  });

  it("stays if strata is killed while it is sent, and leaves nothing that a repetition does not clear", async () => {
    const child = spawn(process.execPath, [PROGRAM, "move", name, "box:"], {
      env: { ...process.env, ...env() },
      stdio: "ignore",
    });
    const coming = async () => (await readdir(join(daemon.pool, "instances")).catch(() => [])).length > 0;
    while (!(await coming()) && child.exitCode === null) {
      await delay(5);
    }
    child.kill("SIGKILL");
    await once(child, "exit");
    const { code, stderr } = await move();
    expect([code, stderr]).to.deep.equal([0, ""]);
    expect(await states()).to.deep.equal(["none", "Stopped"]);
  });

  it("is not moved without what it would lose", async () => {
    await here.mounts.mount(far.folder, { instance: name, target: "/mnt" });
    const { code, stderr } = await move();
    expect(code).to.equal(11);
    expect(stderr).to.contain("the mount at /mnt");
    expect(await states()).to.deep.equal(["Stopped", "none"]);
  });
});

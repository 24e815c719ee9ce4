import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { closeSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { context, locked, newSpec } from "../../../lib/engine/conformance/fixture.ts";
import type { HeldParcel, Instance } from "../../../lib/engine/contract.ts";
import { asStrataError } from "../../../lib/errors.ts";
import { writeJournal } from "../../../plugins/libvirt/journal/journal.ts";
import { newLayerPath } from "../../../plugins/libvirt/layers/names.ts";
import { createOverlay } from "../../../plugins/libvirt/qcow2/overlay.ts";
import { DomainXmlFlags } from "../../../plugins/libvirt/rpc/index.ts";
import { setDiskAt } from "../../../plugins/libvirt/xml/disks.ts";
import { parse, serialize } from "../../../plugins/libvirt/xml/document.ts";
import { codeOf } from "../../support/libvirt/fixture.ts";
import { stageForAll } from "../../support/libvirt/scene-hooks.ts";
import type { Stage } from "../../support/libvirt/virsh-scene.ts";

let made = 0;

/** A backup of layers may take hours, and the instance is used meanwhile: what it reads must not change. */
describe("layers that a backup reads", () => {
  let stage: Stage;
  let instance: Instance;
  let name: string;
  stageForAll((opened) => {
    stage = opened;
  });
  const active = async () => (await stage.fixture.layers(instance)).activeLayer;
  const write = async (mark: number) => {
    await execa("qemu-io", ["-f", "qcow2", "-c", `write -P ${mark} ${mark}M 64k`, await active()]);
  };
  const take = (snapshot: string) => stage.strata.snapshots.take(name, { name: snapshot });
  const remove = (snapshot: string) => stage.strata.delete([{ instance: name, snapshot }], { purge: true });
  const restore = (snapshot: string) => stage.strata.snapshots.restore({ instance: name, snapshot });

  beforeEach(async () => {
    made += 1;
    name = `strata-test-pins-${process.pid}-${made}`;
    instance = await stage.fixture.engine.instances.create(newSpec(stage.fixture, { name }), context());
    for (const [at, snapshot] of ["one", "two", "three", "four"].entries()) {
      await write(at + 1);
      await take(snapshot);
    }
    await write(5);
  });
  afterEach(() => stage.strata.delete([{ instance: name }], { purge: true, skipMissing: true }));

  /** Starts its guest, which has nothing to boot, and does not wait for it. */
  const boot = async () => {
    await using lock = await locked(stage.fixture, instance, 5000);
    await stage.fixture.engine.instances.start(lock, context());
  };
  const hold = async (): Promise<HeldParcel> => {
    await using lock = await locked(stage.fixture, instance, 5000);
    const held = await stage.fixture.engine.portable?.hold?.(lock, { quiesce: false }, context());
    if (held === undefined) {
      throw new Error("the engine cannot hold");
    }
    return held;
  };
  const sumsOf = async ({ files }: HeldParcel) => {
    const sums: Record<string, string> = {};
    for (const { path } of files) {
      sums[basename(path)] = createHash("sha256")
        .update(await readFile(path))
        .digest("hex");
    }
    return sums;
  };
  const layers = async () =>
    (await readdir(dirname(await active()))).filter((file) => file.startsWith("layer-")).length;

  /** What changes or removes layers, if nobody reads them. */
  const WRITERS: Readonly<Record<string, () => Promise<unknown>>> = {
    "the deletion of a snapshot with one child": () => remove("two"),
    "the deletion of the newest snapshot": () => remove("four"),
    "the deletion of all snapshots": async () => {
      for (const snapshot of ["three", "one", "four", "two"]) {
        await remove(snapshot);
      }
    },
    "a take": async () => {
      await take("five");
      await write(6);
    },
    "a restore": async () => {
      await restore("two");
      await write(7);
      await take("other");
      await restore("four");
    },
    "a start": async () => {
      await boot();
      await stage.strata.instances.stop(name, { force: true });
      await write(8);
    },
    "an optimization": () => stage.strata.instances.optimize(name).catch(() => {}),
    keyframes: async () => {
      for (let number = 0; number < 3; number++) {
        await take(`more${number}`);
      }
    },
    "a larger disk": async () => {
      const error = await stage.strata.instances
        .resize(name, { disk: 10n * 1024n ** 3n })
        .catch(asStrataError);
      expect(error).to.include({ code: "LAYER_PINNED" });
    },
    "a purge": async () => {
      expect(await codeOf(stage.strata.delete([{ instance: name }], { purge: true }))).to.equal(
        "LAYER_PINNED",
      );
    },
    repairs: async () => {
      const findings = await stage.strata.maintenance.audit();
      await stage.strata.maintenance.repair(findings.filter((each) => each.instance === name));
    },
  };

  for (const [what, work] of Object.entries(WRITERS)) {
    it(`stay as they are: ${what}`, async () => {
      await using held = await hold();
      const before = await sumsOf(held);
      await work();
      expect(await sumsOf(held)).to.deep.equal(before);
    });
  }

  it("are merged once nobody reads them", async () => {
    const contents = await stage.contents.of(await active());
    {
      await using _held = await hold();
      await remove("two");
      await remove("four");
      expect(await layers()).to.equal(5);
    }
    await stage.strata.instances.stop(name, { force: true });
    expect(await layers()).to.equal(3);
    expect(await stage.contents.of(await active())).to.equal(contents);
  });

  it("go on below a guest that runs, and are merged when it has stopped", async () => {
    const contents = await stage.contents.of(await active());
    await boot();
    const writes = await active();
    {
      await using held = await hold();
      expect(held.consistency).to.equal("crash");
      expect(await active()).to.not.equal(writes);
      expect(held.files.map(({ path }) => path))
        .to.include(writes)
        .and.not.include(await active());
      const before = await sumsOf(held);
      await take("while-it-runs");
      await stage.strata.instances.stop(name, { force: true });
      expect(await sumsOf(held)).to.deep.equal(before);
    }
    expect(await stage.contents.of(await active())).to.equal(contents);
    await remove("while-it-runs");
    expect(await layers()).to.equal(5);
    expect(await stage.contents.of(await active())).to.equal(contents);
    expect((await stage.strata.maintenance.audit()).filter((each) => each.instance === name)).to.deep.equal(
      [],
    );
  });

  /** What a start leaves that dies when it has put a new layer above one that a backup reads. */
  const dies = async (isDefined: boolean) => {
    const old = await active();
    const folder = dirname(old);
    const file = newLayerPath(folder);
    await writeJournal(folder, { kind: "hide", file, old });
    await createOverlay(file, old);
    if (isDefined) {
      const domain = await stage.fixture.connection.lookupDomainByName(name);
      const document = await parse(await domain.getXml(DomainXmlFlags.INACTIVE));
      setDiskAt(document, "vda", file);
      await stage.fixture.connection.defineDomain(serialize(document));
    }
    return { old, file };
  };

  it("are active again if hiding them died before the domain went over", async () => {
    const { old, file } = await dies(false);
    await take("five");
    expect((await stage.fixture.layers(instance)).pendingRemovals).to.deep.equal([]);
    expect(await readdir(dirname(old))).to.not.include(basename(file));
    expect(await layers()).to.equal(6);
  });

  it("are hidden, and merged later, if hiding them died after that", async () => {
    const { old, file } = await dies(true);
    const contents = await stage.contents.of(old);
    expect(await active()).to.equal(file);
    await take("five");
    await restore("five");
    await remove("five");
    expect(await stage.contents.of(await active())).to.equal(contents);
    expect(await layers()).to.equal(5);
    expect((await stage.strata.maintenance.audit()).filter((each) => each.instance === name)).to.deep.equal(
      [],
    );
  });

  it("are not kept by a reader that has died, but by its child as long as that reads", async () => {
    const held = await hold();
    const child = spawn("sleep", ["1000"], { stdio: ["ignore", "ignore", "ignore", held.descriptor] });
    try {
      // As if this process had been killed: its own descriptor is closed, and the file is left.
      const pins = join(dirname(await active()), "pins");
      const [file = ""] = await readdir(pins);
      const text = await readFile(join(pins, file), "utf8");
      expect(text).to.contain(await active());
      closeSync(held.descriptor);
      expect(await codeOf(stage.strata.delete([{ instance: name }], { purge: true }))).to.equal(
        "LAYER_PINNED",
      );
    } finally {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    await stage.strata.delete([{ instance: name }], { purge: true });
    await Promise.resolve(held[Symbol.asyncDispose]()).catch(() => {});
  });
});

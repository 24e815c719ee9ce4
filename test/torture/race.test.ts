import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { expect } from "chai";
import { execa } from "execa";
import { context } from "../../lib/engine/conformance/fixture.ts";
import { codeOf } from "../support/libvirt/fixture.ts";
import { openActors } from "./process.ts";
import { openTorture, type Torture } from "./trials.ts";
import { INSTANCE } from "./world.ts";

const SENT = ["take", "restore, elsewhere", "delete under the head"];

const QEMU_IMG = (go: string) => `#!/bin/sh
case "$1" in rebase|commit) read -r _ < ${go} ;; esac
exec /usr/bin/qemu-img "$@"
`;

describe("a call of a holder that died, carried out after its lock is gone", () => {
  let torture: Torture;
  before(async () => {
    torture = await openTorture({ only: [...SENT, "delete in the middle, merging"] });
  });
  after(() => torture[Symbol.asyncDispose]());

  it("is put right by the next holder, whatever it was", async () => {
    const { world, actors, scenarios } = torture;
    for (const { name, verb, before, after, boundaries } of scenarios.filter((each) =>
      SENT.includes(each.name),
    )) {
      for (const { at, what } of boundaries.filter(
        ({ when, what: touched }) => when === "before" && touched.startsWith("domain_"),
      )) {
        // The daemon stands still while the call is sent, its sender dies, and the next one comes by.
        await actors.run(verb, { kind: "ask", at, die: true }, () => world.daemon.signal("SIGSTOP"));
        const next = world.next();
        await world.daemon.signal("SIGCONT");
        await next;
        const now = await world.observe();
        if (!isDeepStrictEqual(now, before) && !isDeepStrictEqual(now, after)) {
          throw new Error(`${name}, ${what} (${at}): ${JSON.stringify(now)}`);
        }
        await world.reset();
      }
    }
  });

  it("is kept out while a program of it is still at work, though it is dead itself", async () => {
    const { world, scenarios } = torture;
    const merging = scenarios.find(({ name }) => name === "delete in the middle, merging");
    const touch = merging?.boundaries.find(
      ({ when, what }) => when === "middle" && what.startsWith("qemu-img"),
    );
    if (merging === undefined || touch === undefined) {
      throw new Error("nothing is merged");
    }
    // A qemu-img that begins to change layers only when it is told to.
    const bin = join(world.daemon.folder, "bin");
    const go = join(bin, "go");
    await mkdir(bin);
    await execa("mkfifo", [go]);
    await writeFile(join(bin, "qemu-img"), QEMU_IMG(go), { mode: 0o755 });
    const path = process.env.PATH;
    process.env.PATH = `${bin}:${path}`;
    await using slow = await openActors(world.settings);
    const end = await slow.run(merging.verb, { kind: "kill", at: touch.at, group: false });
    process.env.PATH = path;
    expect(end.kind).to.equal("killed");
    const instance = await world.fixture.engine.instances.find(INSTANCE);
    if (instance === null) {
      throw new Error("it is gone");
    }
    const lock = (wait: number) => world.fixture.engine.instances.lock(instance, { wait }, context());
    const early = await codeOf(lock(0).then((each) => each[Symbol.asyncDispose]()));
    const waiting = lock(60_000);
    await writeFile(go, "");
    await (await waiting)[Symbol.asyncDispose]();
    expect(early).to.equal("BUSY");
    expect(await world.observe()).to.deep.equal(merging.after);
    await world.reset();
  });

  it("is waited for where it takes its time, before the next holder looks", async () => {
    const { world, actors } = torture;
    const domain = await world.fixture.connection.lookupDomainByName(INSTANCE);
    await domain.create();
    const pid = Number(await readFile(join(world.daemon.folder, "run", "qemu", `${INSTANCE}.pid`), "utf8"));
    // QEMU stands still while its memory is to be saved: reading the domain needs no answer of it.
    const dead = await actors.run(
      { kind: "suspend", on: INSTANCE },
      { kind: "ask", at: "before domain_managed_save", die: true },
      async () => void process.kill(pid, "SIGSTOP"),
    );
    expect(dead.kind).to.equal("killed");
    const take = { kind: "take", on: INSTANCE, name: "next", createdAt: 1_700_000_200_000 } as const;
    const next = await actors.run(take, { kind: "ask", at: "middle domain_set_metadata" }, async () => {
      process.kill(pid, "SIGCONT");
    });
    // Whoever does not wait finds a guest that runs.
    expect(next).to.have.nested.property("error.code", "INSTANCE_SUSPENDED");
    await domain.managedSaveRemove();
  });
});

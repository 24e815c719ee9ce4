import { mkdirSync } from "node:fs";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { planRemoval } from "../../core/snapshots/plan.ts";
import type { Instance, Mount } from "../contract.ts";
import { rejects, rejectsWithAny, same } from "./assert.ts";
import { context, current, type Fixture, lockOf, newSpec, take, withInstance } from "./fixture.ts";
import { feature, type Kit } from "./kit.ts";
import { NotTried } from "./tally.ts";

const REFUSALS = ["UNSUPPORTED", "MOUNT_REFUSED"] as const;

/** Folders of the host in the guest: attach, detach, what snapshots bring back. */
export function mountTests(kit: Kit): void {
  kit.it("are refused where their type is not declared, and nothing is made", async (fixture) => {
    const { features } = kit.info();
    const types = (["native", "classic"] as const).filter((type) => !features.has(`mount.${type}`));
    if (types.length === 0) {
      throw new NotTried("every type of mount is declared");
    }
    await using folders = await makeFolders();
    for (const type of types) {
      const spec = newSpec(fixture, { mounts: [{ ...folders.mount("a", "/mnt/a"), type }] });
      await rejectsWithAny(
        withInstance(fixture, async () => {}, spec),
        REFUSALS,
      );
      same(await fixture.engine.instances.find(spec.name), null);
      const { mounts } = fixture.engine;
      await withInstance(fixture, async (instance) => {
        const mount = { ...folders.mount("a", "/mnt/a"), type };
        await (mounts && rejectsWithAny(mounts.attach(lockOf(instance.id), mount, context()), REFUSALS));
        await sameMounts(fixture, instance, []);
      });
    }
  });

  const native = (title: string, work: (fixture: Fixture) => Promise<void>) =>
    feature(kit, "mount.native", title, work);

  native("are there from the start, and appear and go on a stopped instance", async (fixture) => {
    await using folders = await makeFolders();
    const [first, second] = [folders.mount("a", "/mnt/first"), folders.mount("b", "/mnt/second path/ü")];
    const spec = newSpec(fixture, { mounts: [first] });
    await withInstance(
      fixture,
      async (instance) => {
        const mounts = mountsOf(fixture);
        await sameMounts(fixture, instance, [first]);
        same(await mounts.attach(lockOf(instance.id), second, context()), "restart");
        await sameMounts(fixture, instance, [first, second]);
        same(await mounts.inside(instance.id), [], "nothing is in a guest that does not run");
        same(await mounts.detach(lockOf(instance.id), first.target, context()), "restart");
        await mounts.detach(lockOf(instance.id), first.target, context());
        await sameMounts(fixture, instance, [second]);
        await rejects(
          mounts.attach(lockOf(instance.id), folders.mount("a", second.target), context()),
          "MOUNT_EXISTS",
        );
        await sameMounts(fixture, instance, [second]);
      },
      spec,
    );
  });

  native("are brought back by a restore that adds, removes and changes some", async (fixture) => {
    await using folders = await makeFolders();
    const kept = folders.mount("a", "/mnt/kept");
    const changed = { ...folders.mount("b", "/mnt/changed"), ...(await mapsOf(kit, 1001)) };
    const otherwise = { ...folders.mount("c", "/mnt/changed"), ...(await mapsOf(kit, 1002)) };
    const removed = folders.mount("b", "/mnt/removed");
    const added = folders.mount("a", "/mnt/added");
    await withInstance(fixture, async (instance) => {
      const { id } = instance;
      const { snapshots } = fixture.engine;
      const mounts = mountsOf(fixture);
      await take(fixture, instance, "none");
      for (const mount of [kept, changed, removed]) {
        await mounts.attach(lockOf(id), mount, context());
      }
      await take(fixture, instance, "three");
      await mounts.detach(lockOf(id), changed.target, context());
      await mounts.detach(lockOf(id), removed.target, context());
      for (const mount of [otherwise, added]) {
        await mounts.attach(lockOf(id), mount, context());
      }
      await take(fixture, instance, "others");
      const expected = {
        none: [],
        three: [kept, changed, removed],
        others: [kept, otherwise, added],
      };
      const sameRecords = async (names: readonly (keyof typeof expected)[]) => {
        const recorded = (await snapshots.tree(id)).snapshots;
        for (const name of names) {
          same(sorted(recorded.find((each) => each.name === name)?.mounts), sorted(expected[name]), name);
        }
      };
      await sameRecords(["none", "three", "others"]);
      await snapshots.restore(lockOf(id), "three", context());
      await sameMounts(fixture, instance, expected.three);
      await snapshots.restore(lockOf(id), "none", context());
      await sameMounts(fixture, instance, []);
      await snapshots.restore(lockOf(id), "others", context());
      await sameMounts(fixture, instance, expected.others);
      await snapshots.rename(lockOf(id), "three", "renamed", context());
      await snapshots.describe(lockOf(id), "renamed", "and described", context());
      const removal = planRemoval(await snapshots.tree(id), "none");
      if (removal === undefined) {
        throw new Error("the snapshot is not there");
      }
      await snapshots.delete(lockOf(id), removal, context());
      await snapshots.restore(lockOf(id), "renamed", context());
      await sameMounts(fixture, instance, expected.three);
      await sameRecords(["others"]);
    });
  });

  native("are kept when their source has gone, also through a restore", async (fixture) => {
    await using folders = await makeFolders();
    const lost = folders.mount("lost", "/mnt/lost");
    await withInstance(fixture, async (instance) => {
      await mountsOf(fixture).attach(lockOf(instance.id), lost, context());
      await take(fixture, instance, "with");
      await mountsOf(fixture).detach(lockOf(instance.id), lost.target, context());
      await rm(lost.source, { recursive: true });
      await fixture.engine.snapshots.restore(lockOf(instance.id), "with", context());
      await sameMounts(fixture, instance, [lost]);
      await mountsOf(fixture).detach(lockOf(instance.id), lost.target, context());
      await sameMounts(fixture, instance, []);
    });
  });
}

/** Maps of an id of the host, where the engine has maps and may map that one. */
async function mapsOf(kit: Kit, host: number): Promise<Partial<Mount>> {
  const maps = { uidMap: [{ host, guest: 1000 }], gidMap: [{ host, guest: 1000 }] };
  if (!kit.info().features.has("mount.idmap")) {
    return {};
  }
  const refused = await mountsOf(kit.fixture()).refusal?.(maps);
  return refused === undefined || refused === null ? maps : {};
}

function mountsOf({ engine }: Fixture) {
  if (engine.mounts === undefined) {
    throw new Error("the engine has no mounts");
  }
  return engine.mounts;
}

const sorted = (mounts: readonly Mount[] = []) => [...mounts].sort((a, b) => (a.target < b.target ? -1 : 1));

async function sameMounts(fixture: Fixture, instance: Instance, expected: readonly Mount[]): Promise<void> {
  same(sorted((await current(fixture, instance)).mounts), sorted(expected));
  await fixture.audit?.(instance);
}

/** Folders of the host, made at their first use. */
async function makeFolders() {
  const root = await realpath(await mkdtemp(join(tmpdir(), "strata-mounts-")));
  return {
    mount(name: string, target: string): Mount {
      const source = join(root, name);
      mkdirSync(source, { recursive: true });
      return { source, target, type: "native", uidMap: [], gidMap: [] };
    },
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}

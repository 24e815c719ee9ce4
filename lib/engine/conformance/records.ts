import type { InstanceRecord } from "../contract.ts";
import { same } from "./assert.ts";
import { context, current, lockOf, newSpec, take, withFurther, withInstance } from "./fixture.ts";
import type { Kit } from "./kit.ts";

/** Texts that an engine's own way of writing things down may take for something else. */
const TEXTS = ["bigint:12", "12n", '{"$bigint":"12"}', "null", "$", "{{x}}", "%s", "__proto__"];

/** What strata hands over to be kept, beside the thing itself. */
export function recordTests(kit: Kit): void {
  kit.it("keep the texts of records as they are", async (fixture) => {
    for (const text of TEXTS) {
      const { record } = newSpec(fixture);
      const odd = { ...record, username: text, image: { ...record.image, os: text, release: text } };
      await withInstance(
        fixture,
        async (instance) => {
          await fixture.engine.instances.annotate(lockOf(instance.id), { hostKey: text });
          same((await current(fixture, instance)).record, { ...odd, hostKey: text });
          await take(fixture, instance, "odd", { comment: text });
          await fixture.engine.snapshots.describe(lockOf(instance.id), "odd", `${text} `, context());
          const [snapshot] = (await fixture.engine.snapshots.tree(instance.id)).snapshots;
          same(snapshot?.comment, `${text} `);
        },
        { record: odd },
      );
    }
  });

  kit.it("keep comments that look like values of another type", async (fixture) => {
    await withInstance(fixture, async (instance) => {
      for (const [at, text] of TEXTS.entries()) {
        await take(fixture, instance, `odd${at}`, { comment: text });
      }
      const { snapshots } = await fixture.engine.snapshots.tree(instance.id);
      same(
        snapshots.map(({ comment }) => comment),
        TEXTS,
      );
    });
  });

  kit.it("keep members of the record that the engine does not know", async (fixture) => {
    const record = withFurther(newSpec(fixture).record);
    await withInstance(
      fixture,
      async (instance) => {
        const { instances, snapshots } = fixture.engine;
        same((await current(fixture, instance)).record, record, "once it is created");
        await instances.annotate(lockOf(instance.id), { hostKey: "ssh-ed25519 AAAA" });
        const annotated = { ...record, hostKey: "ssh-ed25519 AAAA" };
        same((await current(fixture, instance)).record, annotated, "once it is annotated");
        await take(fixture, instance, "one");
        await snapshots.restore(lockOf(instance.id), "one", context());
        const after = (await instances.list()).find(({ id }) => id === instance.id)?.record;
        same(after, { ...annotated, snapshotsTaken: 1 }, "once it is restored");
      },
      { record },
    );
  });

  kit.it("lose nothing by a change whose members are undefined", async (fixture) => {
    await withInstance(fixture, async (instance) => {
      const { instances } = fixture.engine;
      await instances.annotate(lockOf(instance.id), { hostKey: "ssh-ed25519 AAAA", restoredAt: 7 });
      const nothing = { hostKey: undefined, deleted: undefined, restoredAt: undefined };
      await instances.annotate(lockOf(instance.id), nothing as unknown as Partial<InstanceRecord>);
      same((await current(fixture, instance)).record, {
        ...instance.record,
        hostKey: "ssh-ed25519 AAAA",
        restoredAt: 7,
      });
    });
  });

  kit.it("are listed and found while the instance is deleted", async (fixture) => {
    await withInstance(fixture, async (instance) => {
      const { instances } = fixture.engine;
      await instances.annotate(lockOf(instance.id), { deleted: true });
      const { id } = instance;
      same((await current(fixture, instance)).record.deleted, true);
      same((await instances.list()).find((each) => each.id === id)?.record.deleted, true, "in the list");
      const outlines = (await instances.outline?.()) ?? [{ id, record: { deleted: true } }];
      same(outlines.find((each) => each.id === id)?.record.deleted, true, "in outline");
    });
  });

  kit.it(
    "survive a restore, but for the instance id of cloud-init, which is the snapshot's",
    async (fixture) => {
      await withInstance(fixture, async (instance) => {
        const { instances, snapshots } = fixture.engine;
        const { id, record } = instance;
        await take(fixture, instance, "one");
        const change = { cloudInstanceId: "i-2", hostKey: "ssh-ed25519 BBBB", restoredAt: 7 };
        await instances.annotate(lockOf(id), change);
        await take(fixture, instance, "two");
        await snapshots.restore(lockOf(id), "one", context());
        const kept = { ...record, ...change, snapshotsTaken: 2 };
        same((await current(fixture, instance)).record, { ...kept, cloudInstanceId: record.cloudInstanceId });
        await snapshots.restore(lockOf(id), "two", context());
        same((await current(fixture, instance)).record, kept);
        const recorded = (await snapshots.tree(id)).snapshots.map(({ cloudInstanceId }) => cloudInstanceId);
        same(recorded, [record.cloudInstanceId, "i-2"], "what the snapshots record");
      });
    },
  );
}

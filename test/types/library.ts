// What the types of the library promise. Checked by `tsc -p .`, and as a package by test/e2e/package.test.ts.
import { expectTypeOf } from "expect-type";
import {
  type Consistency,
  type ErrorCode,
  type InstanceInfo,
  isStrataError,
  type PurgeOptions,
  parseSnapshotRef,
  type Restored,
  type SnapshotRef,
  type SnapshotTreeInfo,
  Strata,
  type StrataError,
  type StrataEvent,
  type Usage,
} from "../../lib/index.ts";

export async function opened(): Promise<void> {
  await using strata = await Strata.open();
  expectTypeOf(strata).toEqualTypeOf<Strata>();
  // @ts-expect-error a setting is text
  await Strata.open({ settings: { "local.memory.persist": false } });
}

export async function instances({ instances }: Strata): Promise<void> {
  expectTypeOf(await instances.launch({ image: "debian" })).toEqualTypeOf<{ readonly name: string }>();
  // @ts-expect-error there is no instance without an image
  await instances.launch({ name: "web" });
  // @ts-expect-error sizes are bigint
  await instances.launch({ image: "debian", memory: 1024 });
  // @ts-expect-error what is launched cannot be missing
  await instances.launch({ image: "debian", skipMissing: true });
  // @ts-expect-error the text of a size is for `settings.set`
  await instances.resize("web", { memory: "2G" });
  await instances.stop("web", { force: true, skipMissing: true });
  await instances.stop(["web", "db"]);
  expectTypeOf(instances.info).returns.resolves.toEqualTypeOf<InstanceInfo[]>();
  expectTypeOf<InstanceInfo["memory"]>().toEqualTypeOf<Usage | null>();
  expectTypeOf(instances.purge).parameter(0).toEqualTypeOf<PurgeOptions | undefined>();
}

export async function snapshots({ snapshots, ...strata }: Strata): Promise<void> {
  const taken = await snapshots.take("web", { name: "clean", signal: AbortSignal.timeout(1000) });
  expectTypeOf(taken).toEqualTypeOf<SnapshotRef>();
  expectTypeOf(taken.snapshot).toEqualTypeOf<string>();
  await snapshots.take("web", { consistency: "memory" });
  await snapshots.take("web", { stop: true });
  // @ts-expect-error there is no such consistency
  await snapshots.take("web", { consistency: "frozen" });
  expectTypeOf(await snapshots.takeGroup(["web", "db"])).toEqualTypeOf<SnapshotRef[]>();
  // @ts-expect-error memory is taken of one instance at a time
  await snapshots.takeGroup(["web", "db"], { consistency: "memory" });
  await snapshots.restore(taken);
  expectTypeOf(await snapshots.restore("web.clean")).toEqualTypeOf<Restored>();
  await snapshots.restore("web.clean", { diskOnly: true, start: false });
  // @ts-expect-error it names no snapshot
  await snapshots.restore("web");
  // @ts-expect-error it names no snapshot
  await snapshots.restore({ instance: "web" });
  const typed: string = process.argv[2] ?? "";
  // @ts-expect-error any string may name no snapshot
  await snapshots.restore(typed);
  await snapshots.restore(parseSnapshotRef(typed));
  await snapshots.delete(["web.clean", taken]);
  await strata.delete(["web", "web.clean", typed, { instance: "db" }, taken]);
  expectTypeOf(await snapshots.tree("web")).toEqualTypeOf<SnapshotTreeInfo>();
  expectTypeOf<SnapshotTreeInfo["snapshots"][number]["size"]>().toEqualTypeOf<bigint | null>();
  expectTypeOf<SnapshotTreeInfo["snapshots"][number]["consistency"]>().toEqualTypeOf<Consistency>();
}

export async function events(strata: Strata): Promise<void> {
  for await (const event of strata.events()) {
    expectTypeOf(event).toEqualTypeOf<StrataEvent>();
    if (event.kind === "resize") {
      expectTypeOf(event.memory).toEqualTypeOf<bigint>();
    }
    if (event.kind === "snapshot-rename") {
      expectTypeOf(event.from).toEqualTypeOf<string>();
    }
    if (event.kind === "resync") {
      // @ts-expect-error a mark is of no instance
      console.log(event.instance);
    }
  }
}

export function errors(error: unknown): void {
  if (!isStrataError(error)) {
    return;
  }
  expectTypeOf(error).toEqualTypeOf<StrataError>();
  expectTypeOf(error.code).toEqualTypeOf<ErrorCode>();
  // @ts-expect-error there is no such code
  if (error.code === "NO_SUCH_CODE") {
    throw error;
  }
}

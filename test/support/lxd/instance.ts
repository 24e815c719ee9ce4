import { text } from "node:stream/consumers";
import { outlineOf } from "../../../lib/core/snapshots/outline.ts";
import { locked, lockOf } from "../../../lib/engine/conformance/fixture.ts";
import type {
  Consistency,
  Context,
  ExecOptions,
  ExecSession,
  Instance,
} from "../../../lib/engine/contract.ts";
import { context, newInstanceSpec } from "../libvirt/instance-spec.ts";
import type { LxdFixture } from "./fixture.ts";

/** A container on a fixture's daemon, with what most tests do to one. */
export interface LxdTestInstance {
  readonly instance: Instance;
  whileLocked(work: (call: Context) => Promise<unknown>): Promise<void>;
  start(): Promise<void>;
  cut(): Promise<void>;
  /** Takes a snapshot of what it is now; `taken` counts those that were ever taken. */
  take(name: string, taken: number, consistency?: Consistency): Promise<void>;
  open(argv: readonly string[], options?: ExecOptions): Promise<ExecSession>;
  /** Runs a command to its end. */
  run(argv: readonly string[], options?: ExecOptions): Promise<LxdEnded>;
}

export interface LxdEnded {
  readonly out: string;
  readonly complaint: string;
  readonly code: number | null;
}

export async function lxdInstance({ engine, image }: LxdFixture, name: string): Promise<LxdTestInstance> {
  const { instances, snapshots, guest } = engine;
  const instance = await instances.create(newInstanceSpec(image, { name }), context());
  const { id } = instance;
  const whileLocked = async (work: (call: Context) => Promise<unknown>) => {
    await using _lock = await locked({ engine }, instance, 10_000);
    await work(context());
  };
  const open = (argv: readonly string[], options: ExecOptions = {}) => {
    if (guest.via !== "engine") {
      throw new Error("the engine runs no commands");
    }
    return guest.exec(id, argv, options);
  };
  return {
    instance,
    whileLocked,
    open,
    start: () => whileLocked((call) => instances.start(lockOf(id), call)),
    cut: () => whileLocked((call) => instances.stop(lockOf(id), "force", call)),
    take: (snapshot, taken, consistency = "stopped") =>
      whileLocked(async (call) => {
        const { standsOn: parent } = await outlineOf(snapshots, id);
        const found = await instances.find(name);
        if (found === null) {
          throw new Error(`${name} is gone`);
        }
        const { resources, mounts, nics } = found;
        const record = { name: snapshot, comment: "", parent, resources, mounts, nics };
        const own = { cloudInstanceId: "i-1", createdAt: Date.now(), consistency };
        await snapshots.take(lockOf(id), { ...record, ...own }, taken, call);
      }),
    async run(argv, options) {
      const session = await open(argv, options);
      session.stdin.end();
      const [out, complaint, { code }] = await Promise.all([
        text(session.stdout),
        text(session.stderr),
        session.exit,
      ]);
      return { out: out.trim(), complaint: complaint.trim(), code };
    },
  };
}

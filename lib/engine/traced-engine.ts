import { channel } from "node:diagnostics_channel";
import { stopwatch } from "../util/stopwatch.ts";
import { ACT_CHANNEL, type ActTrace } from "../util/trace.ts";
import type { Engine } from "./contract.ts";

const acts = channel(ACT_CHANNEL);

/** The same engine, whose calls are reported on the channel of acts; itself where nobody listens to that. */
export function tracedEngine(engine: Engine): Engine {
  return acts.hasSubscribers ? tracedGroup(new Map(), "", engine) : engine;
}

/** Names of instances by their ids, as the engine has told them. */
type Names = Map<unknown, string>;

function tracedGroup<T extends object>(names: Names, path: string, group: T): T {
  const traced = new Map<PropertyKey, unknown>();
  // Not the group itself is the target: one that is frozen could not be shown otherwise than it is.
  return new Proxy({} as T, {
    has: (_, key) => Reflect.has(group, key),
    get(_, key) {
      if (traced.has(key)) {
        return traced.get(key);
      }
      const value: unknown = Reflect.get(group, key, group);
      const name = `${path}${String(key)}`;
      if (typeof value === "function") {
        const call = (...args: unknown[]) =>
          tracedCall(names, name, args, () => Reflect.apply(value, group, args));
        traced.set(key, call);
        return call;
      }
      if (typeof value !== "object" || value === null) {
        return value;
      }
      const inner = tracedGroup(names, `${name}.`, value);
      traced.set(key, inner);
      return inner;
    },
  });
}

function tracedCall(names: Names, call: string, args: readonly unknown[], work: () => unknown): unknown {
  const told = reportOf(names, call, args);
  let value: unknown;
  try {
    value = work();
  } catch (error) {
    told(error);
    throw error;
  }
  if (!(value instanceof Promise)) {
    told();
    return value;
  }
  const answer = value.then((given: unknown) => {
    learn(names, call, given);
    return given;
  });
  void answer.then(() => told(), told);
  return answer;
}

/** Calls that tell of instances. */
const NAMING = ["list", "outline", "find", "create", "clone"].map((call) => `instances.${call}`);

function learn(names: Names, call: string, given: unknown): void {
  if (!NAMING.includes(call)) {
    return;
  }
  for (const { id, name } of [given].flat().map(Object) as { id?: unknown; name?: unknown }[]) {
    if (typeof name === "string") {
      names.set(id, name);
    }
  }
}

/** What reports a call once it has ended, by the names in its arguments and no more of them. */
function reportOf(names: Names, call: string, args: readonly unknown[]): (error?: unknown) => void {
  const elapsed = stopwatch();
  const [instance, detail] = args.map(nameOf);
  return (error) => {
    const known = names.get(instance) ?? instance;
    acts.publish({
      call,
      ms: elapsed(),
      ...(known === undefined ? {} : { instance: known }),
      ...(detail === undefined ? {} : { detail }),
      ...(error === undefined ? {} : { error }),
    } satisfies ActTrace);
  };
}

/** The name of what a call is given: a lock, a specification, a record or the name itself. */
function nameOf(argument: unknown): string | undefined {
  if (typeof argument === "string") {
    return argument;
  }
  if (Array.isArray(argument)) {
    return argument.map(memberName).join(", ") || undefined;
  }
  const { instance, name, target, network } = Object(argument) as Readonly<Record<string, unknown>>;
  const found = (Object(instance) as { readonly name?: unknown }).name ?? name ?? target ?? network;
  return typeof found === "string" ? found : undefined;
}

/** The full name of one of several snapshots that are taken together. */
function memberName(member: unknown): string {
  const { lock, record } = Object(member) as { readonly lock?: unknown; readonly record?: unknown };
  return [nameOf(lock), nameOf(record)].filter((name) => name !== undefined).join(".");
}

import { ERRORS, failure, isStrataError, type StrataError } from "../errors.ts";
import type { Engine, EngineInfo, EnginePlugin, ExecSession, InstanceOutline } from "./contract.ts";

/**
 * A plugin whose every failure is one of our table, wherever it comes from: what an engine throws by
 * mistake names the engine and the call, and cannot be taken for a fault of strata.
 */
export function guardPlugin(plugin: EnginePlugin): EnginePlugin {
  const { name } = plugin;
  return {
    apiVersion: plugin.apiVersion,
    name,
    description: plugin.description,
    settings: plugin.settings.map((setting) => ({
      ...setting,
      validate: (value) => {
        try {
          return setting.validate(value);
        } catch (error) {
          throw fault(name, `${setting.key}.validate`, error);
        }
      },
    })),
    async check(options) {
      try {
        return await plugin.check(options);
      } catch (error) {
        const { message } = fault(name, "check", error);
        return [{ what: name, ok: false, detail: message, fix: "report it to the plugin's author" }];
      }
    },
    ...(plugin.forgetImages === undefined
      ? {}
      : {
          async forgetImages(options, sums) {
            try {
              await plugin.forgetImages?.(options, sums);
            } catch (error) {
              throw fault(name, "forgetImages", error);
            }
          },
        }),
    async open(options) {
      try {
        return guardEngine(name, await plugin.open(options));
      } catch (error) {
        throw fault(name, "open", error);
      }
    },
  };
}

/** The open engine, its groups and all that they give, guarded in the same way. */
export function guardEngine(plugin: string, engine: Engine): Engine {
  return guardGroup({ plugin, names: new Map() }, "", engine);
}

interface Guard {
  readonly plugin: string;
  /** Names of instances by their ids, as the engine has told them. */
  readonly names: Map<unknown, string>;
}

function guardGroup<T extends object>(guard: Guard, path: string, group: T): T {
  const guarded = new Map<PropertyKey, unknown>();
  // Not the group itself is the target: one that is frozen could not be shown otherwise than it is.
  return new Proxy({} as T, {
    has: (_, key) => Reflect.has(group, key),
    get(_, key) {
      if (guarded.has(key)) {
        return guarded.get(key);
      }
      const value: unknown = Reflect.get(group, key, group);
      const name = `${path}${String(key)}`;
      if (typeof value === "function") {
        const call = guardCall(guard, name, (...args) => Reflect.apply(value, group, args));
        guarded.set(key, call);
        return call;
      }
      if (typeof value !== "object" || value === null) {
        return value;
      }
      const inner = guardGroup(guard, `${name}.`, value);
      guarded.set(key, inner);
      return inner;
    },
  });
}

function guardCall(guard: Guard, call: string, work: (...args: unknown[]) => unknown) {
  const result = (value: unknown) => guardResult(guard, call, value);
  const thrown = (error: unknown) => {
    throw named(fault(guard.plugin, call, error), guard);
  };
  return (...args: unknown[]): unknown => {
    try {
      const value = work(...args);
      return value instanceof Promise ? value.then(result).catch(thrown) : result(value);
    } catch (error) {
      return thrown(error);
    }
  };
}

/** Calls that tell of instances. */
const NAMING = ["list", "outline", "find", "create", "clone"].map((call) => `instances.${call}`);

/** What goes on after a call has returned: a stream of events, a command that runs. */
function guardResult({ plugin, names }: Guard, call: string, value: unknown): unknown {
  if (NAMING.includes(call)) {
    for (const told of [value as InstanceOutline | InstanceOutline[] | null].flat()) {
      if (told !== null) {
        names.set(told.id, told.name);
      }
    }
  }
  if (call === "info") {
    return checkedInfo(plugin, value);
  }
  if (call === "events") {
    return guardEvents(plugin, value as AsyncIterable<unknown>);
  }
  if (call !== "guest.exec") {
    return value;
  }
  const running = value as ExecSession;
  const exit = running.exit.catch((error: unknown) => {
    throw fault(plugin, "guest.exec", error);
  });
  exit.catch(() => {});
  const { stdin, stdout, stderr } = running;
  const resize: ExecSession["resize"] = (columns, rows) => running.resize(columns, rows);
  return { stdin, stdout, stderr, resize, exit } satisfies ExecSession;
}

async function* guardEvents(plugin: string, events: AsyncIterable<unknown>): AsyncIterable<unknown> {
  try {
    yield* events;
  } catch (error) {
    throw fault(plugin, "events", error);
  }
}

/** The core asks for features at every turn: a wrong answer must not look like its own fault. */
function checkedInfo(plugin: string, value: unknown): unknown {
  const { features, missing, imageFormats } = (value ?? {}) as Partial<EngineInfo>;
  if (!(features instanceof Set) || !(missing instanceof Map) || !Array.isArray(imageFormats)) {
    throw failure("PLUGIN_ERROR", {
      plugin,
      reason: "info: features must be a Set, missing a Map, imageFormats an array",
    });
  }
  return value;
}

function fault(plugin: string, call: string, error: unknown): StrataError {
  if (isStrataError(error)) {
    return error;
  }
  if (error instanceof Error && error.name === "AbortError") {
    return failure("CANCELLED", {}, error);
  }
  const message = error instanceof Error ? error.message : String(error);
  return failure("PLUGIN_ERROR", { plugin, reason: `${call}: ${message}` }, error);
}

/** An engine that no longer finds an instance knows its id alone: whoever asked for it by name reads that. */
function named(error: StrataError, { names }: Guard): StrataError {
  const { code, details, cause } = error;
  const name = names.get(details.name);
  if (name === undefined || name === details.name || !(code in ERRORS)) {
    return error;
  }
  return failure(code, { ...details, name }, cause);
}

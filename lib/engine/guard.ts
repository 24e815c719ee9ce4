import {
  ERRORS,
  type ErrorCode,
  type ErrorDetails,
  failure,
  reasonOf,
  StrataError,
  strataErrorOf,
} from "../errors.ts";

import type { Engine, EngineInfo, EnginePlugin, ExecSession, InstanceOutline } from "./contract.ts";
import { GROUPS, lackOf } from "./shape.ts";

/**
 * A plugin from a package whose every failure is one of our table, wherever it comes from: what an engine throws
 * by mistake names the engine and the call, and cannot be taken for a fault of strata. The engines that ship with
 * strata map their errors themselves, and a mistake in them is one of strata's.
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

/**
 * The open engine, its groups and all that they give, guarded in the same way. Throws PLUGIN_ERROR where a member is
 * missing that every engine has: the core would stumble over it, and look like the culprit.
 */
export function guardEngine(plugin: string, engine: Engine): Engine {
  const lack = lackOf(engine);
  if (lack !== undefined) {
    throw failure("PLUGIN_ERROR", { plugin, reason: `open: ${lack}` });
  }
  return guardGroup({ plugin, engine, names: new Map() }, "", engine);
}

interface Guard {
  readonly plugin: string;
  readonly engine: Engine;
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
      const name = `${path}${String(key === Symbol.asyncDispose ? "[Symbol.asyncDispose]" : key)}`;
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
const NAMING = ["list", "outline", "find", "create", "clone", "rename"].map((call) => `instances.${call}`);

/** What goes on after a call has returned: a stream of events, a command that runs. */
function guardResult({ plugin, engine, names }: Guard, call: string, value: unknown): unknown {
  if (NAMING.includes(call)) {
    for (const told of [value as InstanceOutline | InstanceOutline[] | null].flat()) {
      if (told !== null) {
        names.set(told.id, told.name);
      }
    }
  }
  if (call === "info") {
    return checkedInfo(plugin, engine, value);
  }
  if (call === "events" || call === "console.log") {
    return guardStream(plugin, call, value as AsyncIterable<unknown>);
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

async function* guardStream(
  plugin: string,
  call: string,
  stream: AsyncIterable<unknown>,
): AsyncIterable<unknown> {
  try {
    yield* stream;
  } catch (error) {
    throw fault(plugin, call, error);
  }
}

/** The core asks for features at every turn: a wrong answer must not look like its own fault. */
function checkedInfo(plugin: string, engine: Engine, value: unknown): unknown {
  const wrong = (reason: string) => failure("PLUGIN_ERROR", { plugin, reason: `info: ${reason}` });
  const { features, missing, imageFormats } = (value ?? {}) as Partial<EngineInfo>;
  if (!(features instanceof Set) || !(missing instanceof Map) || !Array.isArray(imageFormats)) {
    throw wrong("features must be a Set, missing a Map, imageFormats an array");
  }
  for (const group of GROUPS) {
    const declared = group.features.find((feature) => features.has(feature));
    if (declared !== undefined && group.of(engine) === undefined) {
      throw wrong(`it declares ${declared}, and ${group.member} is not there`);
    }
  }
  return value;
}

function fault(plugin: string, call: string, error: unknown): StrataError {
  const own = strataErrorOf(error);
  if (own !== undefined) {
    return own;
  }
  const wrong = (reason: string) => failure("PLUGIN_ERROR", { plugin, reason: `${call}: ${reason}` }, error);
  const coded = codedError(error);
  if (coded === undefined) {
    return wrong(reasonOf(error));
  }
  const { code, details } = coded;
  const lacking = placeholders(code).filter((name) => !(name in details));
  return lacking.length === 0
    ? new StrataError(code, details, error)
    : wrong(`its error ${code} has no details ${lacking.join(", ")}`);
}

/**
 * A plain error that has a code of the table and details: plugins throw those, so that nothing of strata's has to be
 * there when they run. Node's own errors have codes as well, and no details.
 */
function codedError(
  error: unknown,
): { readonly code: ErrorCode; readonly details: ErrorDetails } | undefined {
  if (!(error instanceof Error)) {
    return undefined;
  }
  const { code, details } = error as { readonly code?: unknown; readonly details?: unknown };
  if (typeof code !== "string" || !Object.hasOwn(ERRORS, code) || typeof details !== "object") {
    return undefined;
  }
  return { code: code as ErrorCode, details: (details ?? {}) as ErrorDetails };
}

/** The details that the message of a code needs, and its hint where that is always the same. */
function placeholders(code: ErrorCode): string[] {
  const { message, hint = "" } = ERRORS[code];
  const text = `${message} ${typeof hint === "string" ? hint : ""}`;
  return [...new Set([...text.matchAll(/\{(\w+)\}/g)].flatMap(([, name]) => name ?? []))];
}

/** An engine that no longer finds an instance knows its id alone: whoever asked for it by name reads that. */
function named(error: StrataError, { names }: Guard): StrataError {
  const { code, details, cause } = error;
  const name = names.get(details.name);
  if (name === undefined || name === details.name || !(code in ERRORS)) {
    return error;
  }
  return new StrataError(code, { ...details, name }, cause, error.errors);
}

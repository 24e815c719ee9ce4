import { malformed } from "../../engine/manifest.ts";
import { DEFAULT_ENGINE, type EngineSource, openCatalogue, pluginEntries } from "../../engine/registry.ts";
import { asStrataError, type StrataError } from "../../errors.ts";
import type { PluginInfo } from "../api/strata.ts";
import type { Session } from "./session.ts";

const blank = { version: "", api: "", engine: "", kind: "", features: [], missing: {}, checks: [] } as const;

/**
 * All engines, by name: those of the configuration, loaded, opened and checked; the others that ship with
 * strata, by name only; and refused ones with the reason. Never rejects.
 */
export async function plugins(session: Session): Promise<PluginInfo[]> {
  const { configured, refused, names } = await session.catalogue();
  const sessions = [session, ...(await session.others())];
  const used = new Set(sessions.map(({ engineName }) => engineName));
  const loaded = await Promise.all(sessions.map(describe));
  const known = new Set([...used, ...refused.map(({ name }) => name)]);
  const idle = (await names()).filter((name) => !known.has(name));
  const found: PluginInfo[] = [
    ...loaded,
    ...idle.map((name) => {
      const origin = configured.find((each) => each.name === name)?.origin ?? "built-in";
      return { ...blank, name, origin, state: "available" as const, reason: "" };
    }),
    ...refused
      // If the engine in use is among them, it has given the reason itself.
      .filter(({ name, error }) => !used.has(name) || error.code === "PLUGIN_DUPLICATE")
      .map(({ name, entry, error }) => ({
        ...blank,
        name,
        origin: entry,
        state: "refused" as const,
        reason: explain(error),
      })),
  ];
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function describe(session: Session): Promise<PluginInfo> {
  const name = session.engineName;
  const given = { ...blank, name };
  let source: EngineSource;
  try {
    source = await (await session.catalogue()).find(name);
  } catch (error) {
    return { ...given, origin: "", state: "refused", reason: explain(asStrataError(error)) };
  }
  const { origin } = source;
  try {
    const { apiVersion: api, check } = await session.plugin();
    const checks = await check(await session.openOptions());
    try {
      const { version, engine, kind, features, missing } = await session.info();
      return {
        name,
        origin,
        state: "loaded",
        reason: "",
        version,
        api,
        engine,
        kind,
        features: [...features].sort(),
        missing: Object.fromEntries(missing),
        checks,
      };
    } catch (error) {
      return { ...given, origin, api, checks, state: "unavailable", reason: explain(asStrataError(error)) };
    }
  } catch (error) {
    return { ...given, origin, state: "refused", reason: explain(asStrataError(error)) };
  }
}

function explain({ message, hint }: StrataError): string {
  return hint === undefined ? message : `${message}. ${hint}`;
}

/**
 * Why an engine cannot become the one of the setting; undefined if it can. The current value of the setting
 * counts, whichever engine the caller uses.
 */
export async function driverRefusal(session: Session, name: string): Promise<string | undefined> {
  const catalogue = await session.catalogue();
  const names = await catalogue.names();
  if (!names.includes(name)) {
    const refusal = catalogue.refused.find((each) => each.name === name);
    return refusal === undefined ? `must be one of ${names.join(", ")}` : explain(refusal.error);
  }
  await (await catalogue.find(name)).load();
  const present = (await session.settings())["local.driver"] ?? DEFAULT_ENGINE;
  if (name === present) {
    return undefined;
  }
  if (present === session.engineName) {
    return runningRefusal(session);
  }
  await using owner = session.beside(present);
  return await runningRefusal(owner);
}

async function runningRefusal({ engineName, engine, log }: Session): Promise<string | undefined> {
  try {
    const { instances } = await engine();
    const running = (await instances.list()).some(({ state }) => state === "running");
    return running ? `${engineName} has running instances; stop them first` : undefined;
  } catch (error) {
    // Users must be able to leave an engine that does not work.
    log.warn(
      `engine ${engineName} could not be asked for running instances: ${asStrataError(error).message}`,
    );
    return undefined;
  }
}

/** Why a list of plugins is refused; undefined if all new ones in it can be used. */
export async function pluginsRefusal(
  session: Session,
  before: string,
  value: string,
): Promise<string | undefined> {
  const entries = pluginEntries(value);
  const old = new Set(pluginEntries(before));
  const wrong = entries.map(malformed).find((reason) => reason !== undefined);
  if (wrong !== undefined) {
    return wrong;
  }
  const { refused } = await openCatalogue(entries, (await session.catalogue()).folder);
  const refusal = refused.find(({ entry }) => !old.has(entry));
  return refusal === undefined ? undefined : explain(refusal.error);
}

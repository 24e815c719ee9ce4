import { join } from "node:path";
import type { Context, Engine, EngineInfo, EnginePlugin, Log } from "../../engine/contract.ts";
import {
  type Catalogue,
  DEFAULT_ENGINE,
  engineNamed,
  openCatalogue,
  pluginEntries,
} from "../../engine/registry.ts";
import { tracedEngine } from "../../engine/traced-engine.ts";
import { asStrataError, isStrataError } from "../../errors.ts";
import type { ImageStore } from "../../images/store.ts";
import { defaultFolders } from "../../settings/folders.ts";
import { readSettings, type SettingValues, writeSettings } from "../../settings/store.ts";
import { answer } from "../api/answer.ts";
import type { CallOptions, Folders, OpenStrataOptions } from "../api/strata.ts";

/**
 * The state that use cases share. The engine is opened at first use, so settings can be corrected without it.
 */
export interface Session extends AsyncDisposable {
  readonly folders: Folders;
  readonly log: Log;
  readonly engineName: string;
  /** All engines, and those that the configuration names. */
  catalogue(): Promise<Catalogue>;
  /** Sessions with the further engines of the configuration; none if the caller chose one engine. */
  others(): Promise<readonly Session[]>;
  /** A separate session for the caller, with any engine. */
  beside(engineName: string): Session;
  plugin(): Promise<EnginePlugin>;
  engine(): Promise<Engine>;
  info(): Promise<EngineInfo>;
  images(): Promise<ImageStore>;
  /** Folder of the images that root keeps for all users; "" for none. */
  imageStore(): string;
  settings(): Promise<SettingValues>;
  saveSettings(values: SettingValues): Promise<void>;
  /** Options for opening the plugin; `given` replaces the user's settings. */
  openOptions(given?: SettingValues): Promise<Parameters<EnginePlugin["open"]>[0]>;
}

/** The state that the sessions of all engines share. */
type Shared = Pick<
  Session,
  "folders" | "log" | "catalogue" | "beside" | "images" | "imageStore" | "settings" | "saveSettings"
>;

/** Setting with the URL of a mirror of the built-in remotes. */
export const IMAGE_MIRROR = "local.image.mirror";
/** Setting with the folder of the images that root keeps for all users of this host. */
export const IMAGE_STORE = "local.image.store";
export const DEFAULT_IMAGE_STORE = "/var/lib/strata/images";

const silent: Log = { error() {}, warn() {}, info() {}, debug() {} };

export async function openSession(options: OpenStrataOptions): Promise<Session> {
  const folders = { ...defaultFolders(), ...options.folders };
  const log = options.log ?? silent;
  const path = join(folders.config, "settings.json");
  // An invalid file fails what needs settings; doctor works without them.
  const read = await readSettings(path).catch((error: unknown) => asStrataError(error));
  const invalid = isStrataError(read) ? read : undefined;
  let values: SettingValues = isStrataError(read) ? {} : read;
  const imageStore = () => options.settings?.[IMAGE_STORE] ?? values[IMAGE_STORE] ?? DEFAULT_IMAGE_STORE;
  const shared: Shared = {
    folders,
    log,
    catalogue: once(() =>
      openCatalogue(pluginEntries(values["local.plugins"] ?? ""), join(folders.data, "plugins")),
    ),
    beside: (name) => sessionOf(shared, name, { settings: options.settings ?? {} }, async () => []),
    images: once(async () => {
      const { openImageStore } = await import("../../images/store.ts");
      return openImageStore({
        folder: join(folders.cache, "images"),
        catalogues: join(folders.cache, "catalogues"),
        remotesFile: join(folders.config, "remotes.json"),
        mirror: () => values[IMAGE_MIRROR] ?? "",
        system: imageStore,
        log,
      });
    }),
    imageStore,
    async settings() {
      if (invalid !== undefined) {
        throw invalid;
      }
      return values;
    },
    async saveSettings(next) {
      await writeSettings(path, next);
      values = next;
    },
  };
  const engineName = engineNamed(options.driver ?? values["local.driver"] ?? DEFAULT_ENGINE);
  const chosen = options.driver !== undefined || options.engine !== undefined;
  const others = once(async () => {
    if (chosen || !values["local.plugins"]) {
      return [];
    }
    const { configured } = await shared.catalogue();
    return configured.filter(({ name }) => name !== engineName).map(({ name }) => shared.beside(name));
  });
  const main = sessionOf(shared, engineName, options, others);
  return {
    ...main,
    async [Symbol.asyncDispose]() {
      const sessions = [main, ...(await others())];
      const closed = await Promise.allSettled(sessions.map((session) => session[Symbol.asyncDispose]()));
      for (const each of closed) {
        if (each.status === "rejected") {
          throw each.reason;
        }
      }
    },
  };
}

/** A session with one engine. */
function sessionOf(
  shared: Shared,
  engineName: string,
  options: Pick<OpenStrataOptions, "settings" | "engine">,
  others: Session["others"],
): Session {
  const plugin = once(async () => (await (await shared.catalogue()).find(engineName)).load());
  let opened: Engine | undefined;
  const openOptions = async (given?: SettingValues) => {
    const [{ settings }, values] = await Promise.all([plugin(), given ?? shared.settings()]);
    const chosen = settings.map(({ key, default: fallback }) => {
      const name = `local.${engineName}.${key}`;
      return [key, options.settings?.[name] ?? values[name] ?? fallback];
    });
    return { settings: Object.fromEntries(chosen), dataFolder: shared.folders.data, log: shared.log };
  };
  const engine = once(async () => {
    await shared.settings();
    opened = options.engine ?? (await (await plugin()).open(await openOptions()));
    return tracedEngine(opened);
  });
  return {
    ...shared,
    engineName,
    others,
    plugin,
    engine,
    info: once(async () => (await engine()).info()),
    openOptions,
    [Symbol.asyncDispose]: async () => opened?.[Symbol.asyncDispose](),
  };
}

/** Remembers the first result; after a failure, the next call tries again. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make().catch((error: unknown) => {
      made = undefined;
      throw error;
    });
    return made;
  };
}

/** The context for one of several equal things; its progress says which of them it is about. */
export function contextOfItem(context: Context, number: number, of: number): Context {
  const { progress } = context;
  return of < 2 ? context : { ...context, progress: (step) => progress({ item: { number, of }, ...step }) };
}

/** A complete context from a partial one. */
export function contextOf(call: CallOptions = {}): Context {
  return {
    signal: call.signal ?? new AbortController().signal,
    progress: (step) => call.progress?.(answer(step)),
    warn: (message) => call.warn?.(message),
  };
}

import { join } from "node:path";
import type { Backend, BackendPlugin, Context, EngineInfo, Log } from "../backend/contract.ts";
import { DEFAULT_ENGINE, loadPlugin } from "../backend/registry.ts";
import type { ImageStore } from "../images/store.ts";
import { defaultFolders } from "../settings/folders.ts";
import { readSettings, type SettingValues, writeSettings } from "../settings/store.ts";
import type { CallOptions, Folders, OpenStrataOptions } from "./api.ts";

/** What the use cases share. The engine is opened at first use: settings can be put right without it. */
export interface Session extends AsyncDisposable {
  readonly folders: Folders;
  readonly log: Log;
  readonly engineName: string;
  plugin(): Promise<BackendPlugin>;
  backend(): Promise<Backend>;
  info(): Promise<EngineInfo>;
  images(): Promise<ImageStore>;
  settings(): Promise<SettingValues>;
  saveSettings(values: SettingValues): Promise<void>;
  /** What the plugin is opened with. */
  openOptions(): Promise<Parameters<BackendPlugin["open"]>[0]>;
}

const silent: Log = { error() {}, warn() {}, info() {}, debug() {} };

export async function openSession(options: OpenStrataOptions): Promise<Session> {
  const folders = { ...defaultFolders(), ...options.folders };
  const log = options.log ?? silent;
  const path = join(folders.config, "settings.json");
  let values = await readSettings(path);
  const engineName = options.driver ?? values["local.driver"] ?? DEFAULT_ENGINE;
  const plugin = once(() => loadPlugin(engineName));
  let opened: Backend | undefined;
  const openOptions = async () => {
    const { settings } = await plugin();
    const chosen = settings.map(({ key, default: fallback }) => [
      key,
      options.engineSettings?.[key] ?? values[`local.${engineName}.${key}`] ?? fallback,
    ]);
    return { settings: Object.fromEntries(chosen), dataFolder: folders.data, log };
  };
  const backend = once(async () => {
    const backend = options.backend ?? (await (await plugin()).open(await openOptions()));
    opened = backend;
    return backend;
  });
  return {
    folders,
    log,
    engineName,
    plugin,
    backend,
    info: once(async () => (await backend()).info()),
    images: once(async () => {
      const { openImageStore } = await import("../images/store.ts");
      return openImageStore({ folder: join(folders.cache, "images"), log });
    }),
    settings: async () => values,
    async saveSettings(next) {
      await writeSettings(path, next);
      values = next;
    },
    openOptions,
    [Symbol.asyncDispose]: async () => opened?.[Symbol.asyncDispose](),
  };
}

/** Remembers the first result; a failure is tried again at the next call. */
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

/** A whole context from what a caller gave of one. */
export function contextOf(call: CallOptions = {}): Context {
  return {
    signal: call.signal ?? new AbortController().signal,
    progress: call.progress ?? (() => {}),
    warn: call.warn ?? (() => {}),
  };
}

import { failure, isStrataError } from "../errors.ts";
import { API_VERSION, type BackendPlugin } from "./contract.ts";

type Loader = () => Promise<{ readonly default: BackendPlugin }>;

/** Engines that ship with strata. Each is loaded only when it is the one in use. */
const builtIn: Readonly<Record<string, Loader>> = {
  libvirt: () => import("../../plugins/libvirt/index.ts"),
  memory: () => import("../../plugins/memory/index.ts"),
};

/** Engine that is used when nothing else is said. */
export const DEFAULT_ENGINE = "libvirt";

export function engineNames(): string[] {
  return Object.keys(builtIn).sort();
}

/** Loads an engine's plugin; rejects with PLUGIN_ERROR when it cannot be used. */
export async function loadPlugin(
  name: string,
  loaders: Readonly<Record<string, Loader>> = builtIn,
): Promise<BackendPlugin> {
  const loader = Object.hasOwn(loaders, name) ? loaders[name] : undefined;
  if (loader === undefined)
    throw failure("PLUGIN_ERROR", {
      plugin: name,
      reason: `it is not known; known are ${Object.keys(loaders).join(", ")}`,
    });
  const plugin = await load(name, loader);
  const [major] = plugin.apiVersion.split(".");
  if (major !== API_VERSION.split(".")[0])
    throw failure("PLUGIN_ERROR", {
      plugin: name,
      reason: `it was made for version ${plugin.apiVersion} of the contract, this is ${API_VERSION}`,
    });
  return plugin;
}

async function load(name: string, loader: Loader): Promise<BackendPlugin> {
  try {
    return (await loader()).default;
  } catch (error) {
    if (isStrataError(error)) throw error;
    throw failure(
      "PLUGIN_ERROR",
      { plugin: name, reason: error instanceof Error ? error.message : String(error) },
      error,
    );
  }
}

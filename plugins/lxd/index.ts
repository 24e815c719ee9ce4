import {
  API_VERSION,
  type Engine,
  type EnginePlugin,
  type EngineSetting,
  type OpenOptions,
} from "../../lib/engine/contract.ts";
import { mapErrors } from "../../lib/engine/map-errors.ts";
import { checkHost } from "./check.ts";
import { consoleGroup } from "./console/console.ts";
import { clusterGroup } from "./domain/cluster.ts";
import { engineEvents } from "./domain/events.ts";
import { instanceGroup } from "./domain/instances.ts";
import { openEngine } from "./engine.ts";
import { lxdError } from "./errors.ts";
import { guestAccess } from "./guest/guest.ts";
import { engineInfo } from "./info.ts";
import { forgetImages } from "./lifecycle/images.ts";
import { runsMachines } from "./lifecycle/machines.ts";
import { mountGroup } from "./mounts/mounts.ts";
import { networkGroup } from "./network/networks.ts";
import type { Client } from "./rest/client.ts";
import { snapshotGroup } from "./snapshots/snapshots.ts";

const settings: readonly EngineSetting[] = [
  {
    key: "socket",
    default: "",
    description: "Unix socket of LXD or Incus; if empty, the first of their usual paths that exists",
    validate: (value) => (value === "" || value.startsWith("/") ? undefined : "must be an absolute path"),
  },
  {
    key: "url",
    default: "",
    description:
      "a server to reach over TLS instead of the socket; several members of one cluster separated by commas",
    validate: (value) =>
      value === "" || value.split(",").every(isHttps)
        ? undefined
        : "must be https://HOST:PORT, or several separated by commas",
  },
  {
    key: "fingerprint",
    default: "",
    description: "SHA-256 of the certificate that the server at local.lxd.url must have",
    validate: (value) =>
      value === "" || /^[0-9a-f]{64}$/i.test(value) ? undefined : "must be 64 hex digits",
  },
  {
    key: "project",
    default: "",
    description: "LXD project; if empty, the server's default project",
    validate: isName,
  },
  {
    key: "pool",
    default: "",
    description: "storage pool of new instances; if empty, that of the profile default, or the only one",
    validate: isName,
  },
  {
    key: "network",
    default: "",
    description: "network of new instances; if empty, that of the profile default, or the only bridge",
    validate: isName,
  },
];

function isHttps(text: string): boolean {
  return /^https:\/\/[^/?#]+\/?$/.test(text) && URL.canParse(text);
}

function isName(value: string): string | undefined {
  return /^[^/\s]*$/.test(value) ? undefined : "must be a name without slashes and spaces";
}

/** The one place where errors of LXD are mapped: within the engine they are what they are. */
function net<Group extends object>(group: Group): Group {
  return mapErrors(group, lxdError);
}

const plugin: EnginePlugin = {
  apiVersion: API_VERSION,
  name: "lxd",
  description:
    "containers and virtual machines on LXD or Incus, on this host, on another one, or on a cluster",
  settings,
  check: checkHost,
  ...net<Required<Pick<EnginePlugin, "open" | "forgetImages">>>({
    open: (options) => lxdEngine(options),
    async forgetImages(options, sums) {
      await using engine = await openEngine(options);
      await forgetImages(engine, sums);
    },
  }),
};

export default plugin;

/** The engine itself; its client may be wrapped, so that a test can have any of its steps fail. */
export async function lxdEngine(options: OpenOptions, wrap?: (client: Client) => Client): Promise<Engine> {
  const engine = await openEngine(options, wrap);
  const { environment } = await engine.server();
  return {
    ...net<Pick<Engine, "info" | "events" | typeof Symbol.asyncDispose>>({
      info: () => engineInfo(engine),
      events: (signal) => engineEvents(engine, signal),
      [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
    }),
    instances: net(instanceGroup(engine)),
    snapshots: net(snapshotGroup(engine)),
    guest: net(guestAccess(engine, { machines: runsMachines(environment.driver) })),
    networks: net(networkGroup(engine)),
    console: net(consoleGroup(engine)),
    ...(engine.remote ? {} : { mounts: net(mountGroup(engine)) }),
    ...(environment.server_clustered ? { cluster: net(clusterGroup(engine)) } : {}),
  };
}

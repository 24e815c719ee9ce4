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
import { errorsOf } from "./errors.ts";
import type { Flavour } from "./flavour.ts";
import { guestAccess } from "./guest/guest.ts";
import { engineInfo } from "./info.ts";
import { autostartGroup } from "./lifecycle/autostart.ts";
import { forgetImages } from "./lifecycle/images.ts";
import { runsMachines } from "./lifecycle/machines.ts";
import { mountGroup } from "./mounts/mounts.ts";
import { networkGroup } from "./network/networks.ts";
import type { Client } from "./rest/client.ts";
import { snapshotGroup } from "./snapshots/snapshots.ts";

/** The plugin for a server of that flavour. */
export function serverPlugin(flavour: Flavour): EnginePlugin {
  const { name, title } = flavour;
  return {
    apiVersion: API_VERSION,
    name,
    description: `containers and virtual machines on ${title}, on this host, on another one, or on a cluster`,
    settings: settingsOf(flavour),
    check: (options) => checkHost(flavour, options),
    ...mapErrors<Required<Pick<EnginePlugin, "open" | "forgetImages">>>(
      {
        open: (options) => serverEngine(flavour, options),
        async forgetImages(options, sums) {
          await using engine = await openEngine(flavour, options);
          await forgetImages(engine, sums);
        },
      },
      errorsOf({ flavour, names: new Map() }),
    ),
  };
}

/** The engine itself; its client may be wrapped, so that a test can have any of its steps fail. */
export async function serverEngine(
  flavour: Flavour,
  options: OpenOptions,
  wrap?: (client: Client) => Client,
): Promise<Engine> {
  const engine = await openEngine(flavour, options, wrap);
  const { environment } = await engine.server();
  // The one place where the server's errors are mapped: within the engine they are what they are.
  const net = <Group extends object>(group: Group): Group => mapErrors(group, errorsOf(engine));
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
    autostart: net(autostartGroup(engine)),
    ...(engine.remote ? {} : { mounts: net(mountGroup(engine)) }),
    ...(environment.server_clustered ? { cluster: net(clusterGroup(engine)) } : {}),
  };
}

function settingsOf({ name, title }: Flavour): readonly EngineSetting[] {
  return [
    {
      key: "socket",
      default: "",
      description: `Unix socket of ${title}; if empty, the first of its usual paths that exists`,
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
      description: `SHA-256 of the certificate that the server at local.${name}.url must have`,
      validate: (value) =>
        value === "" || /^[0-9a-f]{64}$/i.test(value) ? undefined : "must be 64 hex digits",
    },
    {
      key: "project",
      default: "",
      description: `project of ${title}; if empty, the server's default project`,
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
}

function isHttps(text: string): boolean {
  return /^https:\/\/[^/?#]+\/?$/.test(text) && URL.canParse(text);
}

function isName(value: string): string | undefined {
  return /^[^/\s]*$/.test(value) ? undefined : "must be a name without slashes and spaces";
}

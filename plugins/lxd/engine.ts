import type { Lock, OpenOptions } from "../../lib/engine/contract.ts";
import { failure } from "../../lib/errors.ts";
import { clientIdentity } from "./domain/identity.ts";
import type { Flavour } from "./flavour.ts";
import { type Client, openClient } from "./rest/client.ts";
import { defaultSocket, type Endpoint, socketEndpoint, tlsEndpoint } from "./rest/endpoint.ts";
import { greetingShape, type ServerInfo, serverShape } from "./rest/shapes.ts";

/** What the parts of this plugin share: the connection, the settings, and the locks. */
export interface LxdEngine extends AsyncDisposable {
  readonly flavour: Flavour;
  readonly client: Client;
  /** True if the server is on another host, that is, reached over a URL. */
  readonly remote: boolean;
  readonly settings: Readonly<Record<string, string>>;
  /** Where this user's data are. */
  readonly dataFolder: string;
  readonly log: OpenOptions["log"];
  server(): Promise<ServerInfo>;
  /** The leases of the instances that this engine has locked, as their configs have them, by id. */
  readonly leases: Map<string, string>;
  /** Names of the instances that were seen, by id: the API works by name, and an instance may get another one. */
  readonly names: Map<string, string>;
  /** Locks that have not been released. */
  readonly locks: WeakSet<Lock>;
}

/**
 * Opens a connection to the server that the settings name; rejects where it does not answer or trust us.
 * A test may wrap the client.
 */
export async function openEngine(
  flavour: Flavour,
  options: OpenOptions,
  wrap: (client: Client) => Client = (client) => client,
): Promise<LxdEngine> {
  const { settings, dataFolder, log } = options;
  const remote = (settings.url ?? "") !== "";
  const endpoints = remote
    ? await remoteEndpoints(flavour, options)
    : [await localEndpoint(flavour, options)];
  const client = wrap(openClient(endpoints, settings.project ?? ""));
  const server = async () => (await client.get("/1.0", serverShape)).value;
  try {
    const { value } = await client.get("/1.0", greetingShape);
    if (value.auth !== "trusted") {
      throw await distrust(flavour, options);
    }
  } catch (error) {
    await client[Symbol.asyncDispose]();
    throw error;
  }
  return {
    flavour,
    client,
    remote,
    settings,
    dataFolder,
    log,
    server,
    leases: new Map(),
    names: new Map(),
    locks: new WeakSet(),
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

async function localEndpoint(flavour: Flavour, { settings }: OpenOptions): Promise<Endpoint> {
  return socketEndpoint(settings.socket || (await defaultSocket(flavour)));
}

async function remoteEndpoints(flavour: Flavour, { settings, dataFolder }: OpenOptions): Promise<Endpoint[]> {
  const identity = await clientIdentity(flavour, dataFolder);
  return (settings.url ?? "")
    .split(",")
    .map((url) => tlsEndpoint(flavour, new URL(url), identity, settings.fingerprint ?? ""));
}

/** The error of a server that does not know this user's certificate. */
async function distrust(flavour: Flavour, { dataFolder }: OpenOptions): Promise<Error> {
  const { path } = await clientIdentity(flavour, dataFolder);
  return failure("PERMISSION_DENIED", {
    reason: `the server does not trust strata's certificate yet; on the server, run \`${flavour.trust}\` with a copy of ${path}`,
  });
}

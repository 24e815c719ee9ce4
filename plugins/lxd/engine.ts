import type { Lock, OpenOptions } from "../../lib/engine/contract.ts";
import { failure } from "../../lib/errors.ts";
import { clientIdentity } from "./domain/identity.ts";
import { type Client, openClient } from "./rest/client.ts";
import { defaultSocket, type Endpoint, socketEndpoint, tlsEndpoint } from "./rest/endpoint.ts";
import { greetingShape, type ServerInfo, serverShape } from "./rest/shapes.ts";

/** What the parts of this plugin share: the connection, the settings, and the locks. */
export interface LxdEngine extends AsyncDisposable {
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
  /** Locks that have not been released. */
  readonly locks: WeakSet<Lock>;
}

/**
 * Opens a connection to the server that the settings name; rejects where it does not answer or trust us.
 * A test may wrap the client.
 */
export async function openEngine(
  options: OpenOptions,
  wrap: (client: Client) => Client = (client) => client,
): Promise<LxdEngine> {
  const { settings, dataFolder, log } = options;
  const remote = (settings.url ?? "") !== "";
  const endpoints = remote ? await remoteEndpoints(options) : [await localEndpoint(options)];
  const client = wrap(openClient(endpoints, settings.project ?? ""));
  const server = async () => (await client.get("/1.0", serverShape)).value;
  try {
    const { value } = await client.get("/1.0", greetingShape);
    if (value.auth !== "trusted") {
      throw await distrust(options);
    }
  } catch (error) {
    await client[Symbol.asyncDispose]();
    throw error;
  }
  return {
    client,
    remote,
    settings,
    dataFolder,
    log,
    server,
    leases: new Map(),
    locks: new WeakSet(),
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

async function localEndpoint({ settings }: OpenOptions): Promise<Endpoint> {
  return socketEndpoint(settings.socket || (await defaultSocket()));
}

async function remoteEndpoints({ settings, dataFolder }: OpenOptions): Promise<Endpoint[]> {
  const identity = await clientIdentity(dataFolder);
  return (settings.url ?? "")
    .split(",")
    .map((url) => tlsEndpoint(new URL(url), identity, settings.fingerprint ?? ""));
}

/** The error of a server that does not know this user's certificate. */
async function distrust({ dataFolder }: OpenOptions): Promise<Error> {
  const { path } = await clientIdentity(dataFolder);
  return failure("PERMISSION_DENIED", {
    reason: `the server does not trust strata's certificate yet; on the server, run \`lxc config trust add FILE\` (Incus: \`incus config trust add-certificate FILE\`) with a copy of ${path}`,
  });
}

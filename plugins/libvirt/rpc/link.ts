import { Client } from "./client.ts";
import { ConnectFlags } from "./constants/index.ts";
import { ConnectionLostError, LibvirtError } from "./errors.ts";
import type { Frame } from "./frame.ts";
import type { CallLimits } from "./limits.ts";
import { AuthType, Feature } from "./procedures/feature.ts";
import { procedures } from "./procedures/index.ts";
import { openTransport } from "./transport.ts";
import { parseUri, type Target } from "./uri.ts";

/** How long opening may take, ms. */
const OPENING = 30_000;

const AUTH_UNAVAILABLE = 94;

/** Where polkit cannot be asked, libvirt calls that an internal error. */
function denied(error: unknown): never {
  if (!(error instanceof LibvirtError) || error.codeName !== "INTERNAL_ERROR") {
    throw error;
  }
  const { domain, level, message } = error;
  throw new LibvirtError({ code: AUTH_UNAVAILABLE, domain, level, message });
}

/** What a connection is opened with, once and again after a loss. */
export interface LinkOptions {
  readonly uri: string;
  readonly readOnly: boolean;
  onEvent(frame: Frame): void;
}

/** Connects, authenticates and opens the driver. */
export async function openClient(options: LinkOptions, signal?: AbortSignal): Promise<Client> {
  const target = parseUri(options.uri);
  const stream = await openTransport(target, options.readOnly, signal);
  const client = new Client(stream, options.onEvent);
  try {
    await greet(client, target, options.readOnly, {
      timeout: OPENING,
      ...(signal === undefined ? {} : { signal }),
    });
    return client;
  } catch (error) {
    client.end(new ConnectionLostError("the connection could not be opened", { cause: error }));
    throw error;
  }
}

async function greet(client: Client, target: Target, readOnly: boolean, limits: CallLimits): Promise<void> {
  const { result: auth } = await client.call(procedures.auth_list, {}, limits);
  await authenticate(client, auth.types, limits);
  const keepalive = { feature: Feature.PROGRAM_KEEPALIVE };
  // Asking is what turns the daemon's pings on.
  const { result } = await client.call(procedures.connect_supports_feature, keepalive, limits);
  await client.call(
    procedures.connect_open,
    { name: target.driver, flags: readOnly ? ConnectFlags.RO : 0 },
    limits,
  );
  if (result.supported !== 0) {
    client.keepAlive();
  }
}

async function authenticate(client: Client, offered: readonly number[], limits: CallLimits): Promise<void> {
  if (offered.length === 0 || offered.includes(AuthType.NONE)) {
    return;
  }
  if (offered.includes(AuthType.POLKIT)) {
    // polkit may ask the user, who may take longer than a machine.
    const { signal } = limits;
    await client.call(procedures.auth_polkit, {}, signal === undefined ? {} : { signal }).catch(denied);
    return;
  }
  throw new LibvirtError({
    code: AUTH_UNAVAILABLE,
    domain: 7,
    level: 2,
    message: "the daemon asks for SASL, which this binding does not speak",
  });
}

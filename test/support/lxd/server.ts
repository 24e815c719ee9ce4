import type { Engine, OpenOptions } from "../../../lib/engine/contract.ts";
import { type Flavour, INCUS, LXD } from "../../../plugins/lxd/flavour.ts";
import { serverEngine } from "../../../plugins/lxd/plugin.ts";
import type { Client } from "../../../plugins/lxd/rest/client.ts";

/** A server that the tests start: its programs, and how they are called. */
interface TestServer {
  readonly flavour: Flavour;
  /** The daemon itself. */
  readonly daemon: string;
  readonly waitReady: readonly string[];
  readonly init: readonly string[];
  readonly shutdown: readonly string[];
  /** Has it trust the certificate in a file, as arguments of its client. */
  trust(file: string): readonly string[];
}

const INCUSD = "/usr/libexec/incus/incusd";

const SERVERS: Readonly<Record<string, TestServer>> = {
  lxd: {
    flavour: LXD,
    daemon: "lxd",
    waitReady: ["lxd", "waitready", "--timeout=60"],
    init: ["lxd", "init", "--preseed"],
    shutdown: ["lxd", "shutdown", "--timeout=30"],
    trust: (file) => ["config", "trust", "add", file],
  },
  incus: {
    flavour: INCUS,
    daemon: INCUSD,
    waitReady: [INCUSD, "waitready", "--timeout=60"],
    init: ["incus", "admin", "init", "--preseed"],
    shutdown: ["incus", "admin", "shutdown", "--timeout=30"],
    trust: (file) => ["config", "trust", "add-certificate", file],
  },
};

const name = process.env.STRATA_TEST_SERVER ?? "lxd";
const found = SERVERS[name];
if (found === undefined) {
  throw new Error(`STRATA_TEST_SERVER must be one of ${Object.keys(SERVERS).join(", ")}`);
}

/** The server that the tests of LXD run on, with its engine: LXD, or what STRATA_TEST_SERVER names. */
export const testServer: TestServer = found;

export function openServer(options: OpenOptions, wrap?: (client: Client) => Client): Promise<Engine> {
  return serverEngine(testServer.flavour, options, wrap);
}

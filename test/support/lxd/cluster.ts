import { join } from "node:path";
import { type LxdDaemon, lxdFolder, startDaemon } from "./daemon.ts";
import { testServer } from "./server.ts";

const PORT = 18443;

export interface LxdCluster extends AsyncDisposable {
  readonly folder: string;
  /** Members n1, n2 and n3; n1 is the first leader. */
  readonly members: Readonly<Record<"n1" | "n2" | "n3", LxdDaemon>>;
  readonly urls: readonly string[];
  /** SHA-256 of the certificate that all members have. */
  readonly fingerprint: string;
}

function address(number: number): string {
  return `127.0.0.1${number}:${PORT}`;
}

/** Three members on three addresses of this host, each with a btrfs pool of its own. */
export async function lxdCluster(): Promise<LxdCluster> {
  const root = await lxdFolder();
  const daemons: LxdDaemon[] = [];
  const close = async () => {
    await Promise.all(daemons.map((daemon) => daemon[Symbol.asyncDispose]()));
    await root[Symbol.asyncDispose]();
  };
  try {
    const start = async (name: string, preseed: string) => {
      const daemon = await startDaemon(join(root.path, name), preseed);
      daemons.push(daemon);
      return daemon;
    };
    const n1 = await start(
      "n1",
      `config: {core.https_address: "${address(1)}"}
cluster: {server_name: n1, enabled: true}
storage_pools:
- {name: default, driver: btrfs, config: {size: 1GiB}}
`,
    );
    const joining = async (name: string, number: number) => {
      const token = (await n1.lxc("cluster", "add", name, "--quiet")).trim().split("\n").at(-1) ?? "";
      return start(
        name,
        `cluster:
  enabled: true
  server_name: ${name}
  server_address: ${address(number)}
  cluster_token: ${token}
  member_config:
  - {entity: storage-pool, name: default, key: size, value: 1GiB}
`,
      );
    };
    const n2 = await joining("n2", 2);
    const n3 = await joining("n3", 3);
    const shown = await n1.lxc("query", "/1.0");
    const fingerprint = /"certificate_fingerprint": "([0-9a-f]{64})"/.exec(shown)?.[1] ?? "";
    return {
      folder: root.path,
      members: { n1, n2, n3 },
      urls: [1, 2, 3].map((number) => `https://${address(number)}`),
      fingerprint,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Has the cluster trust a client's certificate. */
export async function trust({ members }: LxdCluster, certificate: string): Promise<void> {
  await members.n1.lxc(...testServer.trust(certificate));
}

import { createHash, randomBytes, randomInt } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Fixture } from "../../../lib/engine/conformance/index.ts";
import type { Instance } from "../../../lib/engine/contract.ts";
import { silent } from "../libvirt/fixture.ts";
import { type LxdDaemon, lxdFolder, startDaemon } from "./daemon.ts";
import { faultyClient } from "./faults.ts";
import { makeContainerImage } from "./image.ts";
import { openServer, testServer } from "./server.ts";

const PRESEED = `storage_pools:
- {name: default, driver: btrfs, config: {size: SIZE}}
networks:
- {name: BRIDGEa, type: bridge, config: {ipv4.address: none, ipv6.address: none}}
- {name: BRIDGEb, type: bridge, config: {ipv4.address: 10.SUBNET.1/24, ipv4.nat: "false", ipv6.address: none}}
`;

export interface LxdFixture extends Fixture {
  readonly folder: string;
  readonly daemon: LxdDaemon;
  /** The bridge that hands out addresses. */
  readonly network: string;
}

/** The engine on a daemon of its own, with a btrfs pool, a bridge and a small image. */
export async function lxdFixture(): Promise<LxdFixture> {
  const open: AsyncDisposable[] = [];
  const keep = <T extends AsyncDisposable>(each: T): T => {
    open.unshift(each);
    return each;
  };
  const close = async () => {
    for (const each of open) {
      await each[Symbol.asyncDispose]();
    }
  };
  try {
    const folder = keep(await lxdFolder()).path;
    const { network, preseed } = setting("2GiB");
    const daemon = keep(await startDaemon(join(folder, "lxd"), preseed));
    await daemon.allow([1000, 1001, 1002]);
    const image = await makeContainerImage(folder);
    const dataFolder = join(folder, "data");
    await mkdir(dataFolder);
    const faults = faultyClient();
    const options = { settings: { socket: daemon.socket, network }, dataFolder };
    const engine = keep(await openServer({ ...options, log: silent }, faults.wrap));
    const rootOf = ({ name }: Instance) => join(daemon.pools, "default/containers", name, "rootfs");
    const write: Fixture["write"] = async (instance, value) => {
      const place = join(rootOf(instance), "srv", String(value % 8));
      await writeFile(place, Buffer.alloc(4096 + value, value));
    };
    return {
      plugin: fileURLToPath(new URL(`../../../plugins/${testServer.flavour.name}/index.ts`, import.meta.url)),
      options,
      engine,
      folder,
      daemon,
      network,
      image,
      write,
      writeRunning: write,
      read: (instance) => digest(rootOf(instance)),
      fault: faults.fault,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * A pool of that size and two bridges, the second with addresses, in a network that no other test is likely
 * to be in; `network` is that second one's name.
 */
export function setting(size: string): { readonly network: string; readonly preseed: string } {
  const bridge = `st${randomBytes(4).toString("hex")}`;
  const subnet = `${randomInt(100, 250)}.${randomInt(256)}`;
  const preseed = PRESEED.replaceAll("BRIDGE", bridge).replace("SUBNET", subnet).replace("SIZE", size);
  return { network: `${bridge}b`, preseed };
}

/** A digest of the files that the tests write; all else in the root is the image's. */
async function digest(root: string): Promise<string> {
  const folder = join(root, "srv");
  const hash = createHash("sha256");
  for (const name of (await readdir(folder)).sort()) {
    hash.update(`${name}\n`).update(await readFile(join(folder, name)));
  }
  return hash.digest("hex");
}

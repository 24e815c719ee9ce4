import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Strata } from "../../../lib/core/api/strata.ts";
import { openStrata } from "../../../lib/core/session/open.ts";
import type { Engine, SshEndpoint } from "../../../lib/engine/contract.ts";
import { keyPair } from "../../../lib/guest/keys.ts";
import { memoryEngine } from "../../../plugins/memory/index.ts";
import { type SshServer, sshServer } from "./ssh-server.ts";

export interface SshRoom extends AsyncDisposable {
  readonly strata: Strata;
  readonly server: SshServer;
  readonly folder: string;
  /** The folder in the place of ~/.ssh. */
  readonly ssh: string;
  /** Where guests are from now on; by default at `server`. */
  endpoint: SshEndpoint | null;
}

/** Instances of the memory engine whose guests are one sshd of this host. */
export async function sshRoom(): Promise<SshRoom> {
  const folder = await mkdtemp(join(tmpdir(), "strata-ssh-"));
  const data = join(folder, "data");
  const { privateKey, publicKey } = await keyPair(join(data, "ssh"));
  const server = await sshServer({ private: privateKey, public: publicKey });
  const memory = memoryEngine();
  const engine: Engine = {
    ...memory,
    guest: {
      via: "ssh",
      async endpoint(id) {
        return (await memory.world.get(id)).state === "running" ? room.endpoint : null;
      },
    },
  };
  const ssh = join(folder, "home/.ssh");
  const folders = { config: folder, data, cache: folder, state: folder, ssh };
  const strata = await openStrata({ driver: "memory", engine, folders });
  const room: SshRoom = {
    strata,
    server,
    folder,
    ssh,
    endpoint: server.endpoint,
    async [Symbol.asyncDispose]() {
      await strata[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return room;
}

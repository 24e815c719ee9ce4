import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import type { Strata } from "../../../../lib/core/api/strata.ts";
import { openStrata } from "../../../../lib/core/session/open.ts";
import { asStrataError } from "../../../../lib/errors.ts";
import { keyPair } from "../../../../lib/guest/keys.ts";
import { memoryEngine } from "../../../../plugins/memory/index.ts";
import { type SshServer, sshServer } from "../../../support/guest/ssh-server.ts";

const MIB = 1024 ** 2;

for (const signals of ["group", "shell"] as const) {
  describe(`a transfer into a guest whose sshd signals ${signals === "group" ? "all of a command" : "its shell alone"}`, () => {
    let folder: string;
    let server: SshServer;
    let strata: Strata;
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), "strata-cancelled-"));
      await mkdir(join(folder, "guest"));
      await writeFile(join(folder, "large"), Buffer.alloc(16 * MIB, 7));
      const folders = { config: folder, data: folder, cache: folder, state: folder };
      const memory = memoryEngine();
      await using launching = await openStrata({ engine: memory, folders });
      await launching.instances.launch({ image: "any", name: "web" });
      const { privateKey, publicKey } = await keyPair(join(folder, "ssh"));
      server = await sshServer({ private: privateKey, public: publicKey }, signals);
      const guest = { via: "ssh", endpoint: async () => server.endpoint } as const;
      strata = await openStrata({ engine: { ...memory, guest }, folders });
    });
    afterEach(async () => {
      await strata[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    });
    const inGuest = () => readdir(join(folder, "guest"));
    const target = () => ({ instance: "web", path: join(folder, "guest/copy") });

    async function* endless() {
      for (;;) {
        yield Buffer.alloc(100_000, 7);
      }
    }

    for (const what of ["a file", "a stream"]) {
      it(`leaves nothing there when ${what} is called off, and is over when it says so`, async () => {
        const source = what === "a file" ? { path: join(folder, "large") } : { stream: endless() };
        const stop = new AbortController();
        const error = await strata.guest
          .transfer([source], target(), {
            signal: stop.signal,
            progress: ({ done = 0n }) => done > 2 * MIB && stop.abort(),
          })
          .then(() => undefined, asStrataError);
        expect(error?.code).to.equal("CANCELLED");
        expect(await inGuest()).to.deep.equal([]);
        // It ended by itself: nobody had to kill it.
        expect(server.seen.filter((line) => line.startsWith("signal"))).to.deep.equal([]);
      });
    }

    it("leaves nothing there when its source fails in the middle", async () => {
      async function* failing() {
        for (let count = 0; count < 30; count++) {
          yield Buffer.alloc(100_000, 7);
        }
        throw new Error("the source is gone");
      }
      const error = await strata.guest
        .transfer([{ stream: failing() }], target())
        .then(() => undefined, asStrataError);
      expect(error?.message).to.contain("the source is gone");
      expect(await inGuest()).to.deep.equal([]);
    });

    it("that is called off before it begins asks the guest for nothing", async () => {
      const source = { path: join(folder, "large") };
      const error = await strata.guest
        .transfer([source], target(), { signal: AbortSignal.abort() })
        .then(() => undefined, asStrataError);
      expect(error?.code).to.equal("CANCELLED");
      expect(server.seen).to.deep.equal([]);
    });
  }).timeout(20_000);
}

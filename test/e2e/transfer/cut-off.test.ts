import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import type { Strata } from "../../../lib/core/api/strata.ts";
import { openStrata } from "../../../lib/core/session/open.ts";
import { keyPair } from "../../../lib/guest/keys.ts";
import { memoryEngine } from "../../../plugins/memory/index.ts";
import { type SshServer, sshServer } from "../../support/guest/ssh-server.ts";
import { archive, refusal, type TransferRoom, transferRoom } from "../../support/guest/transfer-room.ts";

describe("a transfer that does not come to its end", () => {
  let at: TransferRoom;
  beforeEach(async () => {
    at = await transferRoom();
  });
  afterEach(() => at[Symbol.asyncDispose]());

  it("leaves nothing under the final name when it is cancelled, and no other trace", async () => {
    const big = Buffer.alloc(8 * 1024 * 1024, 7);
    await at.write("host/big", big);
    await at.write("web/big", big);
    async function* endless() {
      for (;;) {
        yield big.subarray(0, 100_000);
      }
    }
    for (const [source, target] of [
      [{ path: at.path("host/big") }, { instance: "db", path: "copy" }],
      [{ instance: "web", path: "big" }, { path: at.path("host/copy") }],
      [
        { instance: "web", path: "big" },
        { instance: "db", path: "copy" },
      ],
      [{ stream: endless() }, { instance: "db", path: "copy" }],
    ] as const) {
      const stop = new AbortController();
      const steps: bigint[] = [];
      const work = at.strata.guest.transfer([source], target, {
        signal: stop.signal,
        progress: ({ done = 0n }) => {
          steps.push(done);
          if (done > 1_000_000n) {
            stop.abort();
          }
        },
      });
      expect((await refusal(work)).code).to.equal("CANCELLED");
      expect(Number(steps.at(-1))).to.be.lessThan(big.length);
      expect(await at.tree("host")).to.deep.equal(["big"]);
      // The guest tidies up by itself once it has heard.
      for (const end = Date.now() + 5000; (await at.tree("db")).length > 0 && Date.now() < end; ) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      expect(await at.tree("db")).to.deep.equal([]);
    }
  });

  it("fails, and leaves no file, when the guest's end breaks off", async () => {
    const whole = await archive({ name: "./big", content: "x".repeat(1_000_000) });
    for (const length of [0, 300, 512, 600_000]) {
      await at.guestSends(whole.subarray(0, length));
      const work = at.strata.guest.transfer([{ instance: "web", path: "/etc/hostname" }], {
        path: at.path("host/got"),
      });
      expect((await refusal(work)).code, String(length)).to.equal("TRANSFER_FAILED");
      expect(await at.tree("host")).to.deep.equal([]);
    }
  });
});

describe("a transfer over ssh", () => {
  let folder: string;
  let server: SshServer;
  let strata: Strata;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "strata-transfer-"));
    const folders = { config: folder, data: folder, cache: folder, state: folder };
    const memory = memoryEngine();
    await using launching = await openStrata({ engine: memory, folders });
    for (const name of ["web", "db"]) {
      await launching.instances.launch({ image: "any", name });
    }
    const { privateKey, publicKey } = await keyPair(join(folder, "ssh"));
    server = await sshServer({ private: privateKey, public: publicKey });
    const guest = { via: "ssh", endpoint: async () => server.endpoint } as const;
    strata = await openStrata({ engine: { ...memory, guest }, folders });
  });
  afterEach(async () => {
    await strata[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  it("is over, with every connection, when the destination refuses", async () => {
    await writeFile(join(folder, "note"), "a note");
    await writeFile(join(folder, "large"), Buffer.alloc(8 * 1024 ** 2));
    for (const name of ["note", "large"]) {
      const source = { instance: "web", path: join(folder, name) };
      const to = (path: string) => refusal(strata.guest.transfer([source], { instance: "db", path }));
      expect((await to(join(folder, "none", "x"))).message).to.contain("its parent folder does not exist");
      expect(
        (await refusal(strata.guest.transfer([source, source], { instance: "db", path: "/none" }))).message,
      ).to.contain("the folder does not exist");
      await refusal(strata.guest.transfer([source], { path: "/proc/x" }));
    }
    await server.left();
  });

  it("is over, with every connection, when what comes is no archive", async () => {
    await mkdir(join(folder, "bin"));
    await writeFile(join(folder, "bin/tar"), "#!/bin/sh\nhead -c 4000000 /dev/urandom\n", { mode: 0o755 });
    await writeFile(join(folder, "note"), "a note");
    const { PATH } = process.env;
    process.env.PATH = `${join(folder, "bin")}:${PATH}`;
    try {
      const source = { instance: "web", path: join(folder, "note") };
      await refusal(strata.guest.transfer([source], { path: join(folder, "copy") }));
    } finally {
      process.env.PATH = PATH;
    }
    expect(await readdir(folder)).not.to.include("copy");
    await server.left();
  });
}).timeout(20_000);

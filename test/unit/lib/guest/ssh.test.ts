import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { expect } from "chai";
import { makeKeyPair } from "../../../../lib/guest/keys.ts";
import { type GuestOptions, openGuest } from "../../../../lib/guest/ssh.ts";
import { keys, logIn } from "../../../support/guest/login.ts";
import { middle } from "../../../support/guest/middle.ts";
import { type SshServer, sshServer } from "../../../support/guest/ssh-server.ts";
import { refusalCode } from "../../../support/refusal-code.ts";

const MIB = 1024 ** 2;

describe("ssh into a guest", () => {
  let server: SshServer;
  const open = (options: Partial<GuestOptions> = {}) => logIn(server, options);
  beforeEach(async () => {
    server = await sshServer(keys);
  });
  afterEach(() => server[Symbol.asyncDispose]());

  it("is left for good also where the far end never hangs up", async () => {
    await using line = await middle(server.endpoint);
    const sockets = () => process.getActiveResourcesInfo().filter((each) => each === "TCPSocketWrap").length;
    const guest = await open({ endpoint: line.endpoint });
    const before = sockets();
    await guest[Symbol.asyncDispose]();
    expect(sockets()).to.be.below(before);
  });

  it("is left for good also where the far end resets the connection meanwhile", async () => {
    await using line = await middle(server.endpoint);
    const guest = await open({ endpoint: line.endpoint });
    const left = guest[Symbol.asyncDispose]();
    line.reset();
    await left;
  });

  describe("the host key", () => {
    const first = (onHostKey: (key: string) => Promise<void>) => {
      const { endpoint } = server;
      return openGuest({ name: "web", username: "ubuntu", privateKey: keys.private, endpoint, onHostKey });
    };

    it("is told at first contact, and lets in from then on", async () => {
      const told: string[] = [];
      await (await first(async (key) => void told.push(key)))[Symbol.asyncDispose]();
      expect(told).to.deep.equal([server.hostKey]);
      await using _again = await open();
    });

    it("that is another one ends the login before our key is offered", async () => {
      const { hostKey } = await sshServer(keys).then(async (other) => {
        await other[Symbol.asyncDispose]();
        return other;
      });
      expect(await refusalCode(open({ hostKey }))).to.equal("HOST_KEY_CHANGED");
      expect(server.seen).to.deep.equal([]);
    });

    it("that cannot be pinned ends the login before our key is offered", async () => {
      const refused = first(async () => {
        throw new Error("no room for it");
      });
      expect(await refusalCode(refused)).to.equal("INTERNAL");
      expect(server.seen).to.deep.equal([]);
    });

    it("comes again with new keys in the middle of a transfer, and nothing is lost", async () => {
      const input = randomBytes(8 * MIB);
      let pinned = 0;
      const pinning = async () => {
        pinned += 1;
        for (let turns = 0; turns < 50; turns += 1) {
          await turn();
        }
      };
      for (const guest of [await open(), await first(pinning)]) {
        await using _guest = guest;
        const { stdin, stdout, exit } = await guest.exec(["cat"]);
        stdin.end(input);
        const got: Buffer[] = [];
        let asked = 0;
        // At moments when data is under way in both directions.
        for await (const chunk of stdout) {
          got.push(Buffer.from(chunk));
          if (Buffer.concat(got).length < (asked + 1) * MIB) {
            continue;
          }
          asked += 1;
          server.rekey();
        }
        expect(asked).to.equal(8);
        expect(Buffer.concat(got).equals(input)).to.equal(true);
        expect((await exit).code).to.equal(0);
      }
      expect(pinned).to.equal(1);
    });

    it("whose pinning outlasts the attempt, and then fails, has nobody left to tell", async () => {
      const fail: (() => void)[] = [];
      const onHostKey = () =>
        new Promise<void>((_, reject) => {
          fail.push(() => reject(new Error("no room for it")));
          server.cut();
        });
      expect(await refusalCode(first(onHostKey))).to.equal("GUEST_UNREACHABLE");
      while (process.getActiveResourcesInfo().includes("TCPSocketWrap")) {
        await turn();
      }
      // What ssh2 throws at a verdict on a connection that is gone would end the process.
      const thrown: unknown[] = [];
      const listener = (error: unknown) => thrown.push(error);
      process.on("unhandledRejection", listener);
      for (const reject of fail) {
        reject();
      }
      for (let turns = 0; turns < 10; turns++) {
        await turn();
      }
      process.off("unhandledRejection", listener);
      expect([fail.length, ...thrown]).to.deep.equal([1]);
    });
  });

  it("is refused where our key is not known", async () => {
    expect(await refusalCode(open({ privateKey: makeKeyPair().private }))).to.equal("GUEST_REFUSED");
  });

  it("gives up on a port where nothing listens, and on one that says nothing", async () => {
    const silent = createServer((socket) => socket.resume());
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as AddressInfo;
    expect(await refusalCode(open({ endpoint: { host: "127.0.0.1", port }, timeout: 200 }))).to.equal(
      "GUEST_UNREACHABLE",
    );
    silent.close();
    await once(silent, "close");
    expect(await refusalCode(open({ endpoint: { host: "127.0.0.1", port } }))).to.equal("GUEST_UNREACHABLE");
  });

  it("is cancelled while it logs in", async () => {
    const silent = createServer((socket) => socket.resume());
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as AddressInfo;
    const stop = new AbortController();
    const login = refusalCode(open({ endpoint: { host: "127.0.0.1", port }, signal: stop.signal }));
    await once(silent, "connection");
    stop.abort();
    expect(await login).to.equal("CANCELLED");
    silent.close();
  });
}).timeout(20_000);

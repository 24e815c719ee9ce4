import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer, type Socket } from "node:net";
import { buffer, text } from "node:stream/consumers";
import { setImmediate as turn } from "node:timers/promises";
import { expect } from "chai";
import fc from "fast-check";
import type { ExecOptions, ExecSession } from "../../../../lib/engine/contract.ts";
import { isStrataError } from "../../../../lib/errors.ts";
import { awaitGuest } from "../../../../lib/guest/await.ts";
import { makeKeyPair } from "../../../../lib/guest/keys.ts";
import { type Guest, type GuestOptions, openGuest } from "../../../../lib/guest/ssh.ts";
import { type SshServer, sshServer } from "../../../support/guest/ssh-server.ts";

const keys = makeKeyPair();
const MIB = 1024 ** 2;

async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (isStrataError(error)) {
      return error.code;
    }
    throw error;
  }
  throw new Error("it was accepted");
}

async function output(
  session: ExecSession,
  input = "",
): Promise<{ out: string; err: string; code: number | null }> {
  session.stdin.end(input);
  const [out, err, { code }] = await Promise.all([text(session.stdout), text(session.stderr), session.exit]);
  return { out, err, code };
}

interface Middle extends AsyncDisposable {
  readonly endpoint: { readonly host: string; readonly port: number };
  /** Nothing gets through any more, as where a guest hangs. */
  freeze(): void;
}

/** Stands before a server and hides from each side that the other has hung up, as a guest whose power was cut. */
async function middle({ host, port }: SshServer["endpoint"]): Promise<Middle> {
  const halves: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ host, port, allowHalfOpen: true });
    near.pipe(far, { end: false });
    far.pipe(near, { end: false });
    halves.push(near, far);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    endpoint: { host, port: (server.address() as AddressInfo).port },
    freeze() {
      for (const half of halves) {
        half.unpipe();
      }
    },
    async [Symbol.asyncDispose]() {
      for (const half of halves) {
        half.destroy();
      }
      server.close();
    },
  };
}

describe("ssh into a guest", () => {
  let server: SshServer;
  const open = (options: Partial<GuestOptions> = {}) =>
    openGuest({
      name: "web",
      username: "ubuntu",
      privateKey: keys.private,
      endpoint: server.endpoint,
      hostKey: server.hostKey,
      ...options,
    });
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
      expect(await refusal(open({ hostKey }))).to.equal("HOST_KEY_CHANGED");
      expect(server.seen).to.deep.equal([]);
    });

    it("that cannot be pinned ends the login before our key is offered", async () => {
      const refused = first(async () => {
        throw new Error("no room for it");
      });
      expect(await refusal(refused)).to.equal("INTERNAL");
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
      const { endpoint } = server;
      const login = { name: "web", username: "ubuntu", privateKey: keys.private, endpoint, timeout: 200 };
      const onHostKey = () =>
        new Promise<void>((_, reject) => fail.push(() => reject(new Error("no room for it"))));
      expect(await refusal(openGuest({ ...login, onHostKey }))).to.equal("GUEST_UNREACHABLE");
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
    expect(await refusal(open({ privateKey: makeKeyPair().private }))).to.equal("GUEST_REFUSED");
  });

  it("gives up on a port where nothing listens, and on one that says nothing", async () => {
    const silent = createServer((socket) => socket.resume());
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as AddressInfo;
    expect(await refusal(open({ endpoint: { host: "127.0.0.1", port }, timeout: 200 }))).to.equal(
      "GUEST_UNREACHABLE",
    );
    silent.close();
    await once(silent, "close");
    expect(await refusal(open({ endpoint: { host: "127.0.0.1", port } }))).to.equal("GUEST_UNREACHABLE");
  });

  it("is cancelled while it logs in", async () => {
    const silent = createServer((socket) => socket.resume());
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as AddressInfo;
    const stop = new AbortController();
    const login = refusal(open({ endpoint: { host: "127.0.0.1", port }, signal: stop.signal }));
    await once(silent, "connection");
    stop.abort();
    expect(await login).to.equal("CANCELLED");
    silent.close();
  });

  describe("a command", () => {
    let guest: Guest;
    const run = (argv: readonly string[], options?: ExecOptions) => guest.exec(argv, options);
    beforeEach(async () => {
      guest = await open();
    });
    afterEach(() => guest[Symbol.asyncDispose]());

    it("ends with its exit code or the signal that killed it", async () => {
      expect((await output(await run(["true"]))).code).to.equal(0);
      expect((await output(await run(["sh", "-c", "exit 42"]))).code).to.equal(42);
      const killed = await run(["sh", "-c", "kill -KILL $$"]);
      killed.stdout.resume();
      expect(await killed.exit).to.deep.equal({ code: null, signal: "KILL" });
    });

    it("gets its words as they are, whatever is in them", async () => {
      // One command for all of them: a login takes longer than what is looked at.
      const words = fc
        .sample(fc.string({ unit: "binary", maxLength: 20 }), 200)
        .map((word) => word.replaceAll("\0", ""));
      const { out } = await output(await run(["printf", "%s\\0", ...words, "*", "$HOME", "it's", "a\nb"]));
      expect(out.split("\0").slice(0, -1)).to.deep.equal([...words, "*", "$HOME", "it's", "a\nb"]);
    });

    it("is refused for its length where no kernel would take it, and where its sshd does not", async () => {
      const fits = "x".repeat(30_000);
      expect((await output(await run(["printf", "%s", fits]))).out).to.equal(fits);
      expect(await refusal(run(["true", "x".repeat(128 * 1024 - "true ".length)]))).to.equal(
        "COMMAND_TOO_LONG",
      );
      // This sshd hangs up on packets of that size; OpenSSH does later, and Dropbear says no much sooner.
      expect(await refusal(run(["true", "x".repeat(100_000)]))).to.equal("COMMAND_TOO_LONG");
    });

    it("runs in the folder that is asked for, whatever its name", async () => {
      expect((await output(await run(["pwd"], { cwd: "/usr/lib" }))).out).to.equal("/usr/lib\n");
      expect((await output(await run(["pwd"], { cwd: "/no such; echo evil" }))).code).not.to.equal(0);
    });

    it("has three streams, kept apart and whole", async () => {
      const bytes = Buffer.from(Array.from({ length: 3_000_000 }, (_, at) => (at * 7) % 256));
      const session = await run(["sh", "-c", "head -c 2000000 /dev/zero >&2; cat"]);
      const both = Promise.all([buffer(session.stdout), buffer(session.stderr)]);
      session.stdin.end(bytes);
      const [out, err] = await both;
      expect(out.equals(bytes)).to.equal(true);
      expect(err.equals(Buffer.alloc(2_000_000))).to.equal(true);
    });

    it("is ended in the guest when it is cancelled", async () => {
      const stop = new AbortController();
      const session = await run(["sleep", "60"], { signal: stop.signal });
      session.stdout.resume();
      stop.abort();
      expect(await refusal(session.exit)).to.equal("CANCELLED");
      for (const end = Date.now() + 2000; !server.seen.includes("ended SIGTERM") && Date.now() < end; ) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(server.seen).to.include.members(["signal TERM", "ended SIGTERM"]);
    });

    it("is ended just so once it has had all of its input", async () => {
      const stop = new AbortController();
      const session = await run(["sh", "-c", "cat; echo all; sleep 60"], { signal: stop.signal });
      session.stdin.end();
      await once(session.stdout, "data");
      stop.abort();
      expect(await refusal(session.exit)).to.equal("CANCELLED");
      for (const end = Date.now() + 2000; !server.seen.includes("ended SIGTERM") && Date.now() < end; ) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(server.seen).to.include.members(["signal TERM", "ended SIGTERM"]);
    });

    it("is killed in the guest when it takes no notice of being cancelled", async () => {
      const stop = new AbortController();
      const stubborn = "trap '' TERM; echo here; while :; do sleep 1; done";
      const session = await run(["sh", "-c", stubborn], { signal: stop.signal });
      await once(session.stdout, "data");
      session.stdout.resume();
      stop.abort();
      expect(await refusal(session.exit)).to.equal("CANCELLED");
      for (const end = Date.now() + 2000; !server.seen.includes("ended SIGKILL") && Date.now() < end; ) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(server.seen.slice(-3)).to.deep.equal(["signal TERM", "signal KILL", "ended SIGKILL"]);
    });

    it("on a terminal is told that this has gone when it is cancelled: shells take no notice else", async () => {
      const stop = new AbortController();
      const tty = { columns: 80, rows: 24, term: "xterm" };
      const session = await run(["sleep", "60"], { tty, signal: stop.signal });
      session.stdout.resume();
      stop.abort();
      expect(await refusal(session.exit)).to.equal("CANCELLED");
      expect(server.seen).to.include.members(["signal HUP", "ended SIGHUP"]);
    });

    it("that is cancelled is let go where the guest hangs", async () => {
      await using line = await middle(server.endpoint);
      await using hanging = await open({ endpoint: line.endpoint });
      const stop = new AbortController();
      const session = await hanging.exec(["sleep", "60"], { signal: stop.signal });
      line.freeze();
      stop.abort();
      expect(await refusal(session.exit)).to.equal("CANCELLED");
    });

    it("whose output nobody reads can be cancelled, though it has ended", async () => {
      const stop = new AbortController();
      const session = await run(["echo", "unread"], { signal: stop.signal });
      session.stdin.end();
      while (!server.seen.includes("ended 0")) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      stop.abort();
      expect(await refusal(session.exit)).to.equal("CANCELLED");
    });

    it("fails, rather than end well, when the connection goes while it runs", async () => {
      const session = await run(["sleep", "60"]);
      session.stdout.resume();
      server.cut();
      expect(await refusal(session.exit)).to.equal("GUEST_UNREACHABLE");
    });

    it("on a terminal is told the size of the window, also when that changes", async () => {
      const session = await run(["cat"], { tty: { columns: 80, rows: 24, term: "xterm" } });
      session.resize(132, 50);
      await output(session);
      expect(server.seen).to.include("window 132x50");
    });
  });

  describe("waiting for a guest that boots", () => {
    const waiting = (options: Partial<Parameters<typeof awaitGuest>[0]> = {}) =>
      awaitGuest({
        name: "web",
        username: "ubuntu",
        privateKey: keys.private,
        hostKey: server.hostKey,
        endpoint: async () => server.endpoint,
        timeout: 10_000,
        signal: new AbortController().signal,
        ...options,
      });

    it("asks again while there is no address or nobody answers", async () => {
      const closed = { host: "127.0.0.1", port: 1 };
      const answers: (typeof closed | null)[] = [null, closed, server.endpoint];
      await using _guest = await waiting({ endpoint: async () => answers.shift() ?? null });
      expect(answers).to.deep.equal([]);
    });

    it("ends at once where another machine answers, with the time, and when it is cancelled", async () => {
      expect(await refusal(waiting({ hostKey: "ssh-ed25519 AAAA" }))).to.equal("HOST_KEY_CHANGED");
      expect(await refusal(waiting({ endpoint: async () => null, timeout: 400 }))).to.equal(
        "GUEST_UNREACHABLE",
      );
      const stop = new AbortController();
      const cancelled = refusal(waiting({ endpoint: async () => null, signal: stop.signal }));
      stop.abort();
      expect(await cancelled).to.equal("CANCELLED");
    });
  });
}).timeout(20_000);

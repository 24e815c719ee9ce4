import { expect } from "chai";
import type { Progress } from "../../../../lib/engine/contract.ts";
import { awaitGuest } from "../../../../lib/guest/await.ts";
import { makeKeyPair } from "../../../../lib/guest/keys.ts";
import { keys } from "../../../support/guest/login.ts";
import { type SshServer, sshServer } from "../../../support/guest/ssh-server.ts";
import { refusalCode } from "../../../support/refusal-code.ts";

describe("waiting for a guest that boots", () => {
  let server: SshServer;
  beforeEach(async () => {
    server = await sshServer(keys);
  });
  afterEach(() => server[Symbol.asyncDispose]());
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

  it("ends where the login stays refused, and goes on where the key is taken a moment later", async () => {
    await using closed = await sshServer(makeKeyPair());
    const refused = { endpoint: async () => closed.endpoint, hostKey: closed.hostKey };
    expect(await refusalCode(waiting({ ...refused, refusedLimit: 400 }))).to.equal("GUEST_REFUSED");
    let looks = 0;
    const endpoint = async () => {
      looks += 1;
      if (looks === 3) {
        closed.letIn(keys);
      }
      return closed.endpoint;
    };
    await using _guest = await waiting({ ...refused, endpoint });
    expect(looks).to.equal(3);
  });

  it("ends at once where the user's password has expired, with that reason", async () => {
    await using expired = await sshServer(keys);
    expired.expire();
    const work = waiting({ endpoint: async () => expired.endpoint, hostKey: expired.hostKey });
    const error: unknown = await work.catch((thrown: unknown) => thrown);
    expect(error).to.include({ code: "GUEST_REFUSED" });
    expect(String(error)).to.contain("Password change required");
  });

  it("ends where it has shut down", async () => {
    const gone = waiting({ endpoint: async () => null, alive: async () => false });
    expect(await refusalCode(gone)).to.equal("GUEST_UNREACHABLE");
  });

  it("says what is missing, and how long that may take", async () => {
    const told: Progress[] = [];
    const answers = [null, server.endpoint];
    await using _guest = await waiting({
      endpoint: async () => answers.shift() ?? null,
      progress: (step) => told.push(step),
    });
    expect(told.map(({ phase }) => phase)).to.deep.equal([
      "Waiting for web: no address yet",
      "Waiting for web: ssh does not answer yet",
      "Waiting for web: cloud-init has not finished yet",
    ]);
    expect(told.map(({ wait }) => wait?.timeout)).to.deep.equal([10_000, 10_000, 10_000]);
  });

  it("looks no further than the login where that is enough", async () => {
    const told: string[] = [];
    await using _guest = await waiting({ until: "login", progress: ({ phase }) => told.push(phase) });
    expect(told).to.deep.equal(["Waiting for web: ssh does not answer yet"]);
  });

  it("ends at once where another machine answers, with the time, and when it is cancelled", async () => {
    expect(await refusalCode(waiting({ hostKey: "ssh-ed25519 AAAA" }))).to.equal("HOST_KEY_CHANGED");
    expect(await refusalCode(waiting({ endpoint: async () => null, timeout: 400 }))).to.equal(
      "GUEST_UNREACHABLE",
    );
    const stop = new AbortController();
    const cancelled = refusalCode(waiting({ endpoint: async () => null, signal: stop.signal }));
    stop.abort();
    expect(await cancelled).to.equal("CANCELLED");
  });
}).timeout(20_000);

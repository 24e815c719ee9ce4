import { expect } from "chai";
import { awaitGuest } from "../../../../lib/guest/await.ts";
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

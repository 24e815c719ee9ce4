import { once } from "node:events";
import { buffer, text } from "node:stream/consumers";
import { expect } from "chai";
import fc from "fast-check";
import type { ExecOptions, ExecSession } from "../../../../lib/engine/contract.ts";
import type { Guest } from "../../../../lib/guest/ssh.ts";
import { keys, logIn } from "../../../support/guest/login.ts";
import { middle } from "../../../support/guest/middle.ts";
import { type SshServer, sshServer } from "../../../support/guest/ssh-server.ts";
import { refusalCode } from "../../../support/refusal-code.ts";

async function output(
  session: ExecSession,
  input = "",
): Promise<{ out: string; err: string; code: number | null }> {
  session.stdin.end(input);
  const [out, err, { code }] = await Promise.all([text(session.stdout), text(session.stderr), session.exit]);
  return { out, err, code };
}

describe("a command over ssh", () => {
  let server: SshServer;
  let guest: Guest;
  const run = (argv: readonly string[], options?: ExecOptions) => guest.exec(argv, options);
  beforeEach(async () => {
    server = await sshServer(keys);
    guest = await logIn(server);
  });
  afterEach(async () => {
    await guest[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

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
    expect(await refusalCode(run(["true", "x".repeat(128 * 1024 - "true ".length)]))).to.equal(
      "COMMAND_TOO_LONG",
    );
    // This sshd hangs up on packets of that size; OpenSSH does later, and Dropbear says no much sooner.
    expect(await refusalCode(run(["true", "x".repeat(100_000)]))).to.equal("COMMAND_TOO_LONG");
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
    expect(await refusalCode(session.exit)).to.equal("CANCELLED");
    await server.until("ended SIGTERM");
    expect(server.seen).to.include.members(["signal TERM", "ended SIGTERM"]);
  });

  it("is ended just so once it has had all of its input", async () => {
    const stop = new AbortController();
    const session = await run(["sh", "-c", "cat; echo all; sleep 60"], { signal: stop.signal });
    session.stdin.end();
    await once(session.stdout, "data");
    stop.abort();
    expect(await refusalCode(session.exit)).to.equal("CANCELLED");
    await server.until("ended SIGTERM");
    expect(server.seen).to.include.members(["signal TERM", "ended SIGTERM"]);
  });

  it("is killed in the guest when it takes no notice of being cancelled", async () => {
    const stop = new AbortController();
    const stubborn = "trap '' TERM; echo here; while :; do sleep 1; done";
    const session = await run(["sh", "-c", stubborn], { signal: stop.signal });
    await once(session.stdout, "data");
    session.stdout.resume();
    stop.abort();
    expect(await refusalCode(session.exit)).to.equal("CANCELLED");
    await server.until("ended SIGKILL");
    expect(server.seen.slice(-3)).to.deep.equal(["signal TERM", "signal KILL", "ended SIGKILL"]);
  });

  it("on a terminal is told that this has gone when it is cancelled: shells take no notice else", async () => {
    const stop = new AbortController();
    const tty = { columns: 80, rows: 24, term: "xterm" };
    const session = await run(["sleep", "60"], { tty, signal: stop.signal });
    session.stdout.resume();
    stop.abort();
    expect(await refusalCode(session.exit)).to.equal("CANCELLED");
    expect(server.seen).to.include.members(["signal HUP", "ended SIGHUP"]);
  });

  it("that is cancelled is let go where the guest hangs", async () => {
    await using line = await middle(server.endpoint);
    await using hanging = await logIn(server, { endpoint: line.endpoint });
    const stop = new AbortController();
    const session = await hanging.exec(["sleep", "60"], { signal: stop.signal });
    line.freeze();
    stop.abort();
    expect(await refusalCode(session.exit)).to.equal("CANCELLED");
  });

  it("whose output nobody reads can be cancelled, though it has ended", async () => {
    const stop = new AbortController();
    const session = await run(["echo", "unread"], { signal: stop.signal });
    session.stdin.end();
    await server.until("ended 0");
    stop.abort();
    expect(await refusalCode(session.exit)).to.equal("CANCELLED");
  });

  it("fails, rather than end well, when the connection goes while it runs", async () => {
    const session = await run(["sleep", "60"]);
    session.stdout.resume();
    server.cut();
    expect(await refusalCode(session.exit)).to.equal("GUEST_UNREACHABLE");
  });

  it("on a terminal is told the size of the window, also when that changes", async () => {
    const session = await run(["cat"], { tty: { columns: 80, rows: 24, term: "xterm" } });
    session.resize(132, 50);
    await output(session);
    expect(server.seen).to.include("window 132x50");
  });
}).timeout(20_000);

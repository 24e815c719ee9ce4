import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import {
  type CallLimits,
  CallTimeoutError,
  Connection,
  ConnectionLostError,
  connect,
} from "../../../../../plugins/libvirt/rpc/index.ts";
import { Session } from "../../../../../plugins/libvirt/rpc/session.ts";
import { type FakeDaemon, fakeDaemon } from "../../../../support/libvirt/fake-daemon.ts";
import { type Attempt, CLASSES, methodsOf } from "./attempts.ts";

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** Resolves with the next call that is not part of an opening, over whatever connection. */
async function nextCall(daemon: FakeDaemon): Promise<void> {
  for (;;) {
    if (daemon.clients.some(({ frames }) => frames.length > 0)) {
      return;
    }
    await new Promise(setImmediate);
  }
}

describe("limits of calls to a daemon that does not answer", () => {
  for (const { type, local, attempts } of CLASSES) {
    const { name } = type as unknown as { name: string };
    describe(`of ${name}`, () => {
      it("are there for every method", () => {
        const covered = [...Object.keys(attempts(new Connection("qemu:///system"))), ...local];
        // What opens connections is tested by itself, below.
        const opening = type === Connection ? ["open", "sibling"] : [];
        expect(methodsOf(type.prototype)).to.have.members([...covered, ...opening]);
      });

      for (const method of Object.keys(attempts(new Connection("qemu:///system")))) {
        const act = (connection: Connection, limits: CallLimits) =>
          (attempts(connection)[method] as Attempt)(limits);

        it(`${method}: a timeout`, async () => {
          await using daemon = await fakeDaemon();
          const connection = await connect(daemon.uri, { timeout: 60_000 });
          const error = await failureOf(act(connection, { timeout: 15 }));
          expect(error).to.be.instanceOf(CallTimeoutError).with.property("limit", 15);
        });

        it(`${method}: a signal`, async () => {
          await using daemon = await fakeDaemon();
          const connection = await connect(daemon.uri);
          const controller = new AbortController();
          const failure = failureOf(act(connection, { signal: controller.signal }));
          await nextCall(daemon);
          const reason = new Error("enough");
          controller.abort(reason);
          expect(await failure).to.equal(reason);
          expect(await failureOf(act(connection, { signal: controller.signal }))).to.equal(reason);
        });
      }
    });
  }
});

describe("connecting to a daemon that says nothing", () => {
  let folder: string;
  let uri: string;
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket.on("error", () => {}).resume()));
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "strata-silent-"));
    uri = `qemu+unix:///system?socket=${join(folder, "sock")}`;
    await new Promise<void>((resolve) => server.listen(join(folder, "sock"), resolve));
  });
  beforeEach(() => sockets.splice(0));
  after(async () => {
    server.close();
    await rm(folder, { recursive: true, force: true });
  });

  it("is shared by calls, and goes on when one of them is cancelled", async () => {
    const connection = new Connection(uri);
    const [first, second] = [new AbortController(), new AbortController()];
    const one = failureOf(connection.hostname({ signal: first.signal }));
    const two = failureOf(connection.hostname({ signal: second.signal }));
    await once(server, "connection");
    first.abort(new Error("first"));
    expect(await one).to.have.property("message", "first");
    expect(await Promise.race([two, new Promise((resolve) => setTimeout(resolve, 20, "waits"))])).to.equal(
      "waits",
    );
    const closed = once(sockets[0] as Socket, "close");
    second.abort(new Error("second"));
    expect(await two).to.have.property("message", "second");
    await closed;
    expect(sockets).to.have.length(1);
  });

  it("is begun anew by the next call after all have given up", async () => {
    const connection = new Connection(uri);
    const error = await failureOf(connection.hostname({ timeout: 20 }));
    expect(error).to.be.instanceOf(CallTimeoutError);
    expect(await failureOf(connection.hostname({ timeout: 20 }))).to.be.instanceOf(CallTimeoutError);
    expect(sockets).to.have.length(2);
  });

  it("ends with the daemon", async () => {
    const pending = failureOf(new Session(uri).open());
    await once(server, "connection");
    sockets[0]?.destroy();
    expect(await pending).to.be.instanceOf(ConnectionLostError);
  });
});

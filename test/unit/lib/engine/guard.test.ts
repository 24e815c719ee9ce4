import { PassThrough } from "node:stream";
import { expect } from "chai";
import type { Engine, Instance } from "../../../../lib/engine/contract.ts";
import { guardEngine, guardPlugin } from "../../../../lib/engine/guard.ts";
import { failure, isStrataError } from "../../../../lib/errors.ts";
import plugin, { memoryEngine } from "../../../../plugins/memory/index.ts";

async function told(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    return isStrataError(error) ? `${error.code}: ${error.message}` : `not ours: ${error}`;
  }
  return "nothing";
}

/** The memory engine with members that are broken, guarded. */
function broken(change: Partial<Engine>): Engine {
  return guardEngine("broken", Object.freeze({ ...memoryEngine(), ...change }));
}

describe("the guard around a plugin", () => {
  it("names plugin and call of whatever is thrown, at once or later, error or not", async () => {
    const { instances } = memoryEngine();
    const engine = broken({
      instances: {
        ...instances,
        list() {
          throw new TypeError("x is undefined");
        },
        find: () => Promise.reject("gone"),
      },
    });
    expect(await told(() => engine.instances.list())).to.equal(
      'PLUGIN_ERROR: engine plugin "broken": instances.list: x is undefined',
    );
    expect(await told(() => engine.instances.find("web"))).to.equal(
      'PLUGIN_ERROR: engine plugin "broken": instances.find: gone',
    );
  });

  it("leaves errors of the table and cancellation what they are", async () => {
    const { instances } = memoryEngine();
    const engine = broken({
      instances: {
        ...instances,
        list: () => Promise.reject(failure("BUSY", { name: "web" })),
        find: async () => AbortSignal.abort().throwIfAborted() ?? null,
      },
    });
    expect(await told(() => engine.instances.list())).to.match(/^BUSY/);
    expect(await told(() => engine.instances.find("web"))).to.match(/^CANCELLED/);
  });

  it("names an instance that has gone, where the engine knows its id alone", async () => {
    const { instances, snapshots } = memoryEngine();
    const found = { id: "7", name: "web" } as Instance;
    const engine = broken({
      instances: { ...instances, find: async () => found },
      snapshots: {
        ...snapshots,
        tree: (id) => Promise.reject(failure("INSTANCE_NOT_FOUND", { name: id })),
      },
    });
    await engine.instances.find("web");
    expect(await told(() => engine.snapshots.tree("7"))).to.match(/^INSTANCE_NOT_FOUND: instance "web"/);
    expect(await told(() => engine.snapshots.tree("8"))).to.match(/^INSTANCE_NOT_FOUND: instance "8"/);
  });

  it("covers what goes on after a call: events, and a command that runs", async () => {
    const stream = () => new PassThrough();
    const engine = broken({
      async *events() {
        yield { at: 1, kind: "resync" as const };
        throw new Error("the socket is gone");
      },
      guest: {
        via: "engine",
        ready: async () => {},
        exec: async () => ({
          stdin: stream(),
          stdout: stream(),
          stderr: stream(),
          resize() {},
          exit: Promise.reject(new Error("no such pid")),
        }),
      },
    });
    const heard: string[] = [];
    const listen = async () => {
      for await (const { kind } of engine.events?.(new AbortController().signal) ?? []) {
        heard.push(kind);
      }
    };
    expect(await told(listen)).to.match(/^PLUGIN_ERROR.*events: the socket is gone/);
    expect(heard).to.deep.equal(["resync"]);
    const { guest } = engine;
    if (guest.via !== "engine") {
      throw new Error("the engine runs no commands");
    }
    const { exit } = await guest.exec("1", ["true"], {});
    expect(await told(() => exit)).to.match(/^PLUGIN_ERROR.*guest\.exec: no such pid/);
  });

  it("has the groups that the engine has, and keeps a class's own state", async () => {
    class Methods {
      [name: string]: unknown;
      #count = 0;
      async list() {
        this.#count += 1;
        return [];
      }
      get count() {
        return this.#count;
      }
    }
    const { cluster: _, ...given } = memoryEngine() as Engine;
    const instances = new Methods();
    for (const member of ["find", "lock", "create", "start", "stop", "resize", "annotate", "remove"]) {
      instances[member] = async () => {};
    }
    const engine = guardEngine("good", { ...given, instances: instances as never });
    await engine.instances.list();
    expect(instances.count).to.equal(1);
    expect(engine.cluster).to.equal(undefined);
    expect("mounts" in engine).to.equal(true);
  });

  it("refuses an account of itself that nobody could use", async () => {
    const info = async () => ({ ...(await memoryEngine().info()), features: ["suspend"] as never });
    expect(await told(() => broken({ info }).info())).to.match(/^PLUGIN_ERROR.*features must be a Set/);
  });

  it("blames the plugin for an engine that lacks what every engine has", async () => {
    const whole = memoryEngine();
    const { list: _, ...listless } = whole.instances;
    const lacking: Readonly<Record<string, unknown>> = {
      "it gave no engine": undefined,
      "it gave no info": {},
      "it gave no instances": { ...whole, instances: undefined },
      "its instances have no list": { ...whole, instances: listless },
      "its snapshots have no tree": { ...whole, snapshots: {} },
      'its guest.via must be "ssh" or "engine"': { ...whole, guest: { via: "telnet" } },
      "its guest has no endpoint": { ...whole, guest: { via: "ssh" } },
      "it gave no [Symbol.asyncDispose]": { ...whole, [Symbol.asyncDispose]: undefined },
    };
    const options = { settings: {}, dataFolder: "", log: { error() {}, warn() {}, info() {}, debug() {} } };
    for (const [lack, engine] of Object.entries(lacking)) {
      const open = async () => engine as Engine;
      expect(await told(() => guardPlugin({ ...plugin, name: "bad", open }).open(options))).to.equal(
        `PLUGIN_ERROR: engine plugin "bad": open: ${lack}`,
      );
    }
  });

  it("refuses a feature whose group is not there", async () => {
    const info = async () => ({ ...(await memoryEngine().info()), features: new Set(["cluster"] as const) });
    expect(await told(() => broken({ info }).info())).to.equal(
      'PLUGIN_ERROR: engine plugin "broken": info: it declares cluster, and cluster is not there',
    );
  });

  it("takes a plain error with a code of the table and details for one of the table", async () => {
    const { instances } = memoryEngine();
    const thrown = (extra: object) => {
      const list = () => Promise.reject(Object.assign(new Error("as the plugin says"), extra));
      return told(() => broken({ instances: { ...instances, list } }).instances.list());
    };
    expect(await thrown({ code: "BUSY", details: { name: "web" } })).to.equal(
      'BUSY: another operation on "web" is in progress',
    );
    expect(await thrown({ code: "CANCELLED", details: {} })).to.match(/^CANCELLED/);
    // A code of Node's or of another library, and one of ours that says too little.
    for (const extra of [
      { code: "EEXIST", details: {} },
      { code: "TIMEOUT" },
      { details: { name: "web" } },
    ]) {
      expect(await thrown(extra)).to.equal(
        'PLUGIN_ERROR: engine plugin "broken": instances.list: as the plugin says',
      );
    }
    expect(await thrown({ code: "WRONG_STATE", details: { name: "web" } })).to.equal(
      'PLUGIN_ERROR: engine plugin "broken": instances.list: its error WRONG_STATE has no details reason, state',
    );
  });

  it("makes a failed check of a check that throws", async () => {
    const check = () => Promise.reject(new Error("no such file"));
    const [found] = await guardPlugin({ ...plugin, check }).check({
      settings: {},
      dataFolder: "",
      log: { error() {}, warn() {}, info() {}, debug() {} },
    });
    expect(found).to.include({ ok: false });
    expect(found?.detail).to.contain("check: no such file");
  });
});

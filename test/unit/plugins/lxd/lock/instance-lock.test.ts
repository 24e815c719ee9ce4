import { mock } from "node:test";
import { expect } from "chai";
import { context } from "../../../../../lib/engine/conformance/fixture.ts";
import { lockedId } from "../../../../../lib/engine/locks.ts";
import { getLocked } from "../../../../../plugins/lxd/domain/managed.ts";
import { KEYS, operationKeys, ownKeys } from "../../../../../plugins/lxd/domain/records.ts";
import type { LxdEngine } from "../../../../../plugins/lxd/engine.ts";
import { make } from "../../../../../plugins/lxd/lifecycle/creation.ts";
import { lockInstance } from "../../../../../plugins/lxd/lock/instance-lock.ts";
import type { Client } from "../../../../../plugins/lxd/rest/client.ts";
import { LxdConnectionError, LxdError } from "../../../../../plugins/lxd/rest/errors.ts";
import type { Config } from "../../../../../plugins/lxd/rest/shapes.ts";
import { codeOf, silent } from "../../../../support/libvirt/fixture.ts";

const OWN = ownKeys({
  id: "u",
  record: {
    version: 1,
    image: { sha256: "ab", release: "12", os: "Debian" },
    username: "ubuntu",
    deleted: false,
    snapshotsTaken: 0,
    cloudInstanceId: "i-1",
    createdAt: 1,
  },
});

/** A server with room for the instance "web", and an engine on it. */
function server(present: Config | undefined = OWN) {
  let config: Config | undefined = present;
  let version = 0;
  const lxd = {
    engine: undefined as unknown as LxdEngine,
    /** True where the connection breaks before the answer to the next change, and LXD is down then. */
    breaks: false,
    down: false,
    config: () => config,
  };
  const reach = () => {
    if (lxd.down) {
      throw new LxdConnectionError("connect ECONNREFUSED", false, undefined);
    }
  };
  const get: Client["get"] = async (path, shape) => {
    reach();
    if (path === "/1.0/operations") {
      return { value: shape.parse({}), etag: "" };
    }
    const fixed = { name: "web", status: "Stopped", type: "container", devices: {}, snapshots: [] };
    if (path === "/1.0/instances") {
      return { value: shape.parse(config === undefined ? [] : [{ ...fixed, config }]), etag: "" };
    }
    if (config === undefined) {
      throw new LxdError(404, "Instance not found");
    }
    return { value: shape.parse({ ...fixed, config }), etag: String(version) };
  };
  const run: Client["run"] = async (method, _, body, options) => {
    reach();
    if (options?.etag !== undefined && options.etag !== String(version)) {
      throw new LxdError(412, "etag");
    }
    const given = (body as { config: Config } | undefined)?.config ?? {};
    const merged = Object.entries({ ...config, ...given }).filter(([, value]) => value !== "");
    config = method === "DELETE" ? undefined : Object.fromEntries(merged);
    version += 1;
    if (!lxd.breaks) {
      return undefined;
    }
    lxd.breaks = false;
    lxd.down = true;
    throw new LxdConnectionError("read ECONNRESET", true, undefined);
  };
  lxd.engine = {
    client: { get, run } as Client,
    log: silent,
    leases: new Map(),
    names: new Map(),
    locks: new Set(),
  } as unknown as LxdEngine;
  return lxd;
}

describe("the lock on an instance of LXD", () => {
  const take = ({ engine }: { engine: LxdEngine }) =>
    lockInstance(engine, { name: "web", id: "u" }, { wait: 0 }, context());

  it("keeps others out, of the same process too, and is taken out of the config in the end", async () => {
    const lxd = server();
    const first = await take(lxd);
    expect(await codeOf(take(lxd))).to.equal("BUSY");
    await first[Symbol.asyncDispose]();
    expect(lxd.config()).to.deep.equal(OWN);
  });

  it("that is given up twice takes nothing of the next one's", async () => {
    const lxd = server();
    const first = await take(lxd);
    await first[Symbol.asyncDispose]();
    await using second = await take(lxd);
    await first[Symbol.asyncDispose]();
    expect((await getLocked(lxd.engine, lockedId(lxd.engine, second))).name).to.equal("web");
    expect(await codeOf(take(lxd)), "while the second lasts").to.equal("BUSY");
  });

  it("that could not be given up keeps nobody of this process out", async () => {
    const lxd = server();
    const first = await take(lxd);
    lxd.down = true;
    await first[Symbol.asyncDispose]();
    lxd.down = false;
    await using _second = await take(lxd);
    expect(await codeOf(take(lxd)), "while the second lasts").to.equal("BUSY");
  });

  it("that could not be given up is, once LXD can be reached", async () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    const pass = async () => {
      mock.timers.tick(10_000);
      await new Promise(setImmediate);
    };
    try {
      const lxd = server();
      const first = await take(lxd);
      lxd.down = true;
      await first[Symbol.asyncDispose]();
      await pass();
      lxd.down = false;
      expect(lxd.config()).to.have.property(KEYS.lock);
      await pass();
      expect(lxd.config()).to.deep.equal(OWN);
    } finally {
      mock.timers.reset();
    }
  });

  it("whose taking was not answered keeps nobody of this process out", async () => {
    const lxd = server();
    lxd.breaks = true;
    expect(await codeOf(take(lxd))).to.contain("ECONNRESET");
    lxd.down = false;
    await using _second = await take(lxd);
  });

  it("of a launch that was cut off keeps nobody of this process from clearing it", async () => {
    const lxd = server({});
    const body = { type: "container", source: {}, config: { ...OWN, ...operationKeys({ kind: "create" }) } };
    const what = { name: "web", uuid: "u", body: { ...body, devices: {} }, member: undefined };
    lxd.breaks = true;
    expect(await codeOf(make(lxd.engine, what, context()))).to.contain("ECONNRESET");
    lxd.down = false;
    expect(lxd.config()).to.have.property(KEYS.lock);
    expect(await codeOf(take(lxd)), "it is taken away").to.equal("INSTANCE_NOT_FOUND");
    expect(lxd.config()).to.equal(undefined);
  });
});

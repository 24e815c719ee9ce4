import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { openStrata } from "../../../../../lib/core/session/open.ts";
import type { Engine, InstancePlan } from "../../../../../lib/engine/contract.ts";
import { asStrataError, failure } from "../../../../../lib/errors.ts";
import { memoryEngine } from "../../../../../plugins/memory/index.ts";

describe("launch", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "strata-launch-"));
  });
  after(() => rm(folder, { recursive: true }));

  it("says of an image of another kind that the engine does not take it, not that there is none", async () => {
    const images = join(folder, "images");
    const sha256 = "ab".repeat(32);
    const record = { version: 1, sha256, os: "Debian", release: "12", username: "ubuntu", source: "built" };
    const rest = { aliases: ["debian-micro"], virtualSize: "1024", createdAt: 1 };
    await mkdir(images);
    await writeFile(join(images, `${sha256}.json`), JSON.stringify({ ...record, ...rest }));
    await writeFile(join(images, `${sha256}.qcow2`), "");
    const memory = memoryEngine();
    const info = async () => ({
      ...(await memory.info()),
      imageFormats: ["rootfs"],
      missing: new Map([["vm", "there is no /dev/vhost-vsock"]] as const),
    });
    const folders = { config: folder, data: folder, cache: folder };
    await using strata = await openStrata({ engine: { ...memory, info }, folders });
    const refusal = async (image: string) => {
      const error = await strata.instances
        .launch({ image, name: "web" })
        .then(() => undefined, asStrataError);
      return { code: error?.code, reason: String(error?.details.reason ?? "") };
    };
    expect(await refusal("debian-micro")).to.deep.equal({
      code: "UNSUPPORTED",
      reason: "the format must be rootfs; there is no /dev/vhost-vsock",
    });
    // To build it first would not help either.
    expect(await refusal("debian-cloud")).to.deep.equal(await refusal("debian-micro"));
    expect((await refusal("debian-container")).code).to.equal("IMAGE_NOT_BUILT");
    expect((await refusal("debian")).code).to.equal("IMAGE_NOT_BUILT");
    expect((await refusal("noble")).code).to.equal("IMAGE_NOT_FOUND");
    expect(await strata.instances.list()).to.deep.equal([]);
  });

  it("that is cancelled while it waits for the guest says that there is an instance, and how it goes", async () => {
    const memory = memoryEngine();
    const { guest } = memory;
    if (guest.via !== "engine") {
      throw new Error("the engine runs commands by itself");
    }
    const stop = new AbortController();
    const ready = async (_: string, __: number, { signal }: { signal: AbortSignal }) => {
      stop.abort();
      signal.throwIfAborted();
    };
    await using strata = await openStrata({
      driver: "memory",
      engine: { ...memory, guest: { ...guest, ready } },
    });
    const told: string[] = [];
    const call = { signal: stop.signal, warn: (message: string) => void told.push(message) };
    const error = await strata.instances
      .launch({ image: "any", name: "web", ...call })
      .then(() => undefined, asStrataError);
    expect(error?.code).to.equal("CANCELLED");
    expect(told.join()).to.contain("strata delete --purge web");
    expect((await strata.instances.list()).map(({ name, state }) => `${name} ${state}`)).to.deep.equal([
      "web Starting",
    ]);
  });

  it("is refused for what it asks of the host before its image is looked for", async () => {
    const memory = memoryEngine();
    const { instances } = memory;
    const asked: InstancePlan[] = [];
    const engine: Engine = {
      ...memory,
      info: async () => ({ ...(await memory.info()), imageFormats: ["qcow2"] }),
      instances: {
        ...instances,
        async check(plan) {
          asked.push(plan);
          throw failure("INVALID_VALUE", { what: "memory", value: "1T", reason: "there is less" });
        },
      },
    };
    await using strata = await openStrata({
      engine,
      folders: { config: folder, data: folder, cache: folder },
    });
    const told: string[] = [];
    const error = await strata.instances
      .launch({
        image: `http://127.0.0.1:1/none#sha256=${"ab".repeat(32)}`,
        name: "web",
        cpus: 3,
        mounts: [{ source: folder, target: "data" }],
        networks: [{ network: "lan" }],
        warn: (message) => void told.push(message),
      })
      .then(() => undefined, asStrataError);
    expect(error?.message).to.contain("there is less");
    expect(
      asked.map(({ name, resources, mounts, networks }) => [
        name,
        resources.cpus,
        mounts.map(({ source }) => source),
        networks.map(({ network }) => network),
      ]),
    ).to.deep.equal([["web", 3, [folder], ["lan"]]]);
    expect(told).to.deep.equal([]);
  });

  it("and a clone leave it to the engine whether a name is free that a launch which died has left", async () => {
    const memory = memoryEngine();
    const { instances, world } = memory;
    /** As an engine does that knows what is left half made, and clears it away for the next. */
    const clear = async (name: string) => {
      const left = await instances.find(name);
      if (left?.record.username === "unfinished") {
        await world.remove(left.id);
      }
    };
    const engine: Engine = {
      ...memory,
      instances: {
        ...instances,
        check: async (plan) => {
          const left = await instances.find(plan.name);
          if (left?.record.username !== "unfinished") {
            await instances.check?.(plan);
          }
        },
        create: async (spec, context) => {
          await clear(spec.name);
          return instances.create(spec, context);
        },
        clone: async (id, copy, context) => {
          await clear(copy.name);
          if (instances.clone === undefined) {
            throw new Error("it clones");
          }
          return instances.clone(id, copy, context);
        },
      },
    };
    await using strata = await openStrata({ driver: "memory", engine });
    const leave = async (name: string) => {
      await strata.instances.launch({ image: "any", name });
      const left = await world.get((await instances.find(name))?.id ?? "");
      await world.put({ ...left, state: "starting", record: { ...left.record, username: "unfinished" } });
    };
    await leave("web");
    await strata.instances.launch({ image: "any", name: "web" });
    await strata.instances.stop(["web"]);
    await leave("copy");
    await strata.instances.clone("web", { name: "copy" });
    expect((await strata.instances.list()).map(({ name, state }) => `${name} ${state}`)).to.deep.equal([
      "copy Stopped",
      "web Stopped",
    ]);
    const refusal = (work: Promise<unknown>) => work.then(() => undefined, asStrataError);
    expect((await refusal(strata.instances.launch({ image: "any", name: "web" })))?.code).to.equal(
      "INSTANCE_EXISTS",
    );
    expect((await refusal(strata.instances.clone("web", { name: "copy" })))?.code).to.equal(
      "INSTANCE_EXISTS",
    );
  });

  it("is refused for a taken name also by an engine that cannot tell beforehand", async () => {
    const memory = memoryEngine();
    const { check: _, ...instances } = memory.instances;
    await using strata = await openStrata({ driver: "memory", engine: { ...memory, instances } });
    await strata.instances.launch({ image: "any", name: "web" });
    const error = await strata.instances
      .launch({ image: "any", name: "web" })
      .then(() => undefined, asStrataError);
    expect(error?.code).to.equal("INSTANCE_EXISTS");
  });

  it("says of the image of a container which engine takes it, whether it is here or not", async () => {
    const memory = memoryEngine();
    const info = async () => ({ ...(await memory.info()), imageFormats: ["qcow2"] });
    const none = join(folder, "none");
    await using strata = await openStrata({
      engine: { ...memory, info },
      folders: { config: none, data: none, cache: none },
    });
    const error = await strata.instances
      .launch({ image: "debian-container" })
      .then(() => undefined, asStrataError);
    expect(error?.code).to.equal("UNSUPPORTED");
    expect(error?.message).to.contain("it is a container image").and.contain("--driver lxd");
    expect(await strata.instances.list()).to.deep.equal([]);
  });
});

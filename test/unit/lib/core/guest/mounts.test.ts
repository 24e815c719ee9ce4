import { realpathSync } from "node:fs";
import { homedir } from "node:os";
import { PassThrough, Readable } from "node:stream";
import { expect } from "chai";
import type { Strata } from "../../../../../lib/core/api/strata.ts";
import { openStrata } from "../../../../../lib/core/session/open.ts";
import type { Engine, ExecSession, Mount } from "../../../../../lib/engine/contract.ts";
import { failure, isStrataError } from "../../../../../lib/errors.ts";
import { memoryEngine } from "../../../../../plugins/memory/index.ts";

/** Folders that every host has. */
const [FIRST, SECOND] = ["/usr", "/etc"];

const folders = Object.fromEntries(
  ["config", "data", "cache", "state"].map((name) => [name, "/nonexistent/strata"]),
);

function open(engine: Engine = memoryEngine()): Promise<Strata> {
  return openStrata({ driver: "memory", engine, folders });
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "it was done",
    (error: unknown) => (isStrataError(error) ? error.code : String(error)),
  );
}

async function mountsOf(strata: Strata, name: string): Promise<Record<string, string>> {
  const [info] = await strata.instances.info([name]);
  return Object.fromEntries((info?.mounts ?? []).map(({ target, source }) => [target, source]));
}

describe("mounting folders in instances", () => {
  it("maps the caller to the default user unless told otherwise", async () => {
    await using strata = await open();
    await strata.instances.launch({ image: "any", name: "web", mounts: [{ source: FIRST, target: "data" }] });
    await strata.mounts.mount(SECOND, [{ instance: "web" }], { uidMap: [{ host: 7, guest: 8 }] });
    const [info] = await strata.instances.info(["web"]);
    const own = { host: process.getuid?.(), guest: 1000, default: true };
    const ownGroup = { host: process.getgid?.(), guest: 1000, default: true };
    expect(info?.mounts).to.deep.equal([
      { source: FIRST, target: "/home/ubuntu/data", type: "native", uidMap: [own], gidMap: [ownGroup] },
      {
        source: SECOND,
        target: "/home/ubuntu/etc",
        type: "native",
        uidMap: [{ host: 7, guest: 8 }],
        gidMap: [ownGroup],
      },
    ]);
  });

  it("changes nothing when one of several instances cannot have it", async () => {
    await using strata = await open();
    for (const name of ["a", "b"]) {
      await strata.instances.launch({ image: "any", name });
    }
    await strata.mounts.mount(FIRST, [{ instance: "b", target: "/data" }]);
    const places = [
      { instance: "a", target: "/data" },
      { instance: "b", target: "/x/../data" },
    ];
    expect(await codeOf(strata.mounts.mount(SECOND, places))).to.equal("MOUNT_EXISTS");
    expect(await codeOf(strata.mounts.umount([...places, { instance: "a" }]))).to.equal("MOUNT_NOT_FOUND");
    expect(await mountsOf(strata, "a")).to.deep.equal({});
    expect(await mountsOf(strata, "b")).to.deep.equal({ "/data": FIRST });
  });

  it("takes one mount away, or all", async () => {
    await using strata = await open();
    const mounts = ["/a", "/b", "/c"].map((target) => ({ source: FIRST, target }));
    await strata.instances.launch({ image: "any", name: "web", mounts });
    await strata.mounts.umount([{ instance: "web", target: "/b/" }]);
    expect(Object.keys(await mountsOf(strata, "web"))).to.deep.equal(["/a", "/c"]);
    await strata.mounts.umount([{ instance: "web" }]);
    await strata.mounts.umount([{ instance: "web" }]);
    expect(await mountsOf(strata, "web")).to.deep.equal({});
  });

  it("refuses two folders at one place before anything is launched", async () => {
    await using strata = await open();
    const mounts = ["x", "./x"].map((target) => ({ source: FIRST, target }));
    expect(await codeOf(strata.instances.launch({ image: "any", name: "web", mounts }))).to.equal("USAGE");
    const file = [{ source: "/etc/passwd" }];
    expect(await codeOf(strata.instances.launch({ image: "any", name: "web", mounts: file }))).to.equal(
      "INVALID_VALUE",
    );
    expect(await strata.instances.list()).to.deep.equal([]);
  });

  it("refuses two folders at one place, also where that is Home, and makes nothing", async () => {
    await using strata = await open();
    for (const target of ["/data", "Home"]) {
      const mounts = [FIRST, SECOND].map((source) => ({ source, target }));
      expect(await codeOf(strata.instances.launch({ image: "any", name: "web", mounts }))).to.equal("USAGE");
    }
    expect(await strata.instances.list()).to.deep.equal([]);
  });

  it("gives the primary instance its user's home, and no other", async () => {
    await using strata = await open();
    await strata.instances.launch({ image: "any", name: "primary" });
    await strata.instances.launch({ image: "any", name: "other" });
    expect(Object.keys(await mountsOf(strata, "primary"))).to.deep.equal(["/home/ubuntu/Home"]);
    expect(Object.values(await mountsOf(strata, "primary"))[0]).to.equal(realpathSync(homedir()));
    expect(await mountsOf(strata, "other")).to.deep.equal({});
  });

  it("is native where it was to be classic and the engine has only native ones, and says so once", async () => {
    await using strata = await open();
    for (const name of ["a", "b"]) {
      await strata.instances.launch({ image: "any", name });
    }
    const told: string[] = [];
    const options = { type: "classic" as const, warn: (message: string) => void told.push(message) };
    await strata.mounts.mount(FIRST, [{ instance: "a" }, { instance: "b" }], options);
    for (const { mounts } of await strata.instances.info()) {
      expect(mounts.map(({ type }) => type)).to.deep.equal(["native"]);
    }
    expect(told).to.have.length(1);
    expect(told[0]).to.match(/^the mount is native/);
  });

  it("says what the engine lacks, never leaving it out in silence", async () => {
    const memory = memoryEngine();
    const info = async () => ({
      ...(await memory.info()),
      features: new Set(["mount.native"] as const),
      missing: new Map([["mount.idmap", "its ids are its own"]] as const),
    });
    await using strata = await open({ ...memory, info });
    await strata.instances.launch({ image: "any", name: "web" });
    const place = [{ instance: "web" }];
    const maps = [{ host: 1, guest: 1 }];
    for (const options of [{ uidMap: maps }, { gidMap: maps }]) {
      expect(await codeOf(strata.mounts.mount(FIRST, place, options))).to.equal("UNSUPPORTED");
    }
    await strata.mounts.mount(FIRST, place);
    const [web] = await strata.instances.info(["web"]);
    expect(web?.mounts[0]?.uidMap, "ids as they are").to.deep.equal([]);
  });

  it("leaves out a default map that the host refuses, and says so; one that was asked for is an error", async () => {
    const memory = memoryEngine();
    if (memory.mounts === undefined) {
      throw new Error("the engine has no mounts");
    }
    const refusal = async ({ gidMap }: Pick<Mount, "uidMap" | "gidMap">) =>
      gidMap.some(({ host }) => host !== 33) ? "the host keeps them to itself" : null;
    await using strata = await open({ ...memory, mounts: { ...memory.mounts, refusal } });
    await strata.instances.launch({ image: "any", name: "web" });
    const warnings: string[] = [];
    const call = { warn: (message: string) => void warnings.push(message) };
    const place = (target: string) => [{ instance: "web", target }];
    const uidMap = [{ host: 33, guest: 1000 }];
    await strata.mounts.mount(FIRST, place("/own"), { uidMap, ...call });
    expect(warnings).to.have.lengthOf(1);
    expect(warnings[0]).to.contain("/own").and.to.contain("the host keeps them to itself");
    expect(
      await codeOf(strata.mounts.mount(FIRST, place("/no"), { gidMap: [{ host: 34, guest: 1 }] })),
    ).to.equal("UNSUPPORTED");
    await strata.mounts.mount(FIRST, place("/all"), { uidMap, gidMap: uidMap, ...call });
    const [web] = await strata.instances.info(["web"]);
    expect(web?.mounts.map(({ target, uidMap, gidMap }) => [target, uidMap, gidMap])).to.deep.equal([
      ["/own", uidMap, []],
      ["/all", uidMap, uidMap],
    ]);
    expect(warnings).to.have.lengthOf(1);
  });

  it("tells why an instance could not be suspended, not what its mounts say after that", async () => {
    const memory = memoryEngine();
    const session = (code: number): ExecSession => ({
      stdin: new PassThrough(),
      stdout: Readable.from([]),
      stderr: Readable.from(["mount: unknown filesystem type '9p'"]),
      resize() {},
      exit: Promise.resolve({ code }),
    });
    await using strata = await open({
      ...memory,
      instances: {
        ...memory.instances,
        suspend: async () => {
          throw failure("NO_SPACE", { where: "the pool" });
        },
      },
      guest: {
        via: "engine",
        ready: async () => {},
        exec: async (_, argv) => session(argv.includes("umount") ? 0 : 32),
      },
      mounts: {
        attach: async () => "applied",
        detach: async () => "applied",
        inside: async () => [{ target: "/a", source: "strata-1", filesystem: "9p", options: "" }],
      },
    });
    const warnings: string[] = [];
    const warn = (message: string) => void warnings.push(message);
    await strata.instances.launch({
      image: "any",
      name: "web",
      mounts: [{ source: FIRST, target: "/a" }],
      warn,
    });
    expect(warnings, "a launch goes on without").to.have.length(1);
    expect(await codeOf(strata.instances.suspend(["web"], { warn }))).to.equal("NO_SPACE");
    expect(warnings[1]).to.equal('the guest of "web" cannot mount /a: its kernel does not support 9p');
  });
});

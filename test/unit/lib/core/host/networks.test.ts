import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { parseNicSpec } from "../../../../../lib/cli/network-spec.ts";
import type { Strata } from "../../../../../lib/core/api/strata.ts";
import { openStrata } from "../../../../../lib/core/session/open.ts";
import { isStrataError } from "../../../../../lib/errors.ts";
import { memoryEngine } from "../../../../../plugins/memory/index.ts";

type Opened = Omit<Strata, "engine"> & { readonly engine: ReturnType<typeof memoryEngine> };

let config = "";

async function open(bridged = ""): Promise<Opened> {
  const engine = memoryEngine();
  const strata = await openStrata({ driver: "memory", engine, folders: { config } });
  if (bridged !== "") {
    await strata.settings.set("local.bridged-network", bridged);
  }
  return { ...strata, engine };
}

async function nicsOf({ engine }: Opened, name: string) {
  return (await engine.instances.find(name))?.nics ?? [];
}

async function refusal(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "nothing was refused",
    (error: unknown) => (isStrataError(error) ? `${error.code}: ${error.message}` : String(error)),
  );
}

describe("networks of instances", () => {
  beforeEach(async () => {
    config = await mkdtemp(join(tmpdir(), "strata-networks-"));
  });
  afterEach(() => rm(config, { recursive: true }));

  describe("networks", () => {
    it("are listed by name", async () => {
      expect((await (await open()).networks.list()).map(({ name }) => name)).to.deep.equal([
        "default",
        "lan",
      ]);
    });

    it("give an instance interfaces, with the address that was asked for", async () => {
      const strata = await open("lan");
      const networks = [
        { network: "default", mac: "52:54:00:AA:00:01" },
        { network: "bridged", mode: "manual" as const },
      ];
      await strata.instances.launch({ image: "any", name: "web", networks });
      const [first, second] = await nicsOf(strata, "web");
      expect(first).to.deep.equal({ network: "default", mac: "52:54:00:aa:00:01" });
      expect(second?.network).to.equal("lan");
      expect(await strata.settings.get("local.web.bridged")).to.equal("true");
    });

    it("are refused before anything is made: unknown ones, no bridged one, bad and repeated addresses", async () => {
      const strata = await open();
      const launch = (...networks: { network: string; mac?: string }[]) =>
        refusal(strata.instances.launch({ image: "any", name: "web", networks }));
      expect(await launch({ network: "nowhere" })).to.match(/^INVALID_VALUE: .*must be one of default, lan$/);
      expect(await launch({ network: "bridged" })).to.match(/^USAGE: no bridged network is set/);
      expect(await launch({ network: "lan", mac: "52:54:00:00:00" })).to.match(/^INVALID_VALUE/);
      expect(await launch({ network: "lan", mac: "53:54:00:00:00:00" })).to.match(
        /^INVALID_VALUE.*multicast/,
      );
      const mac = "52:54:00:aa:00:01";
      expect(await launch({ network: "lan", mac }, { network: "lan", mac: mac.toUpperCase() })).to.match(
        /^INVALID_VALUE.*another interface has it$/,
      );
      expect(await strata.instances.list()).to.deep.equal([]);
    });
  });

  describe("local.bridged-network", () => {
    it("is one of the networks, or empty", async () => {
      const strata = await open("lan");
      expect(await refusal(strata.settings.set("local.bridged-network", "nowhere"))).to.match(
        /must be one of default, lan$/,
      );
      await strata.settings.set("local.bridged-network", "");
      expect(await strata.settings.get("local.bridged-network")).to.equal("");
    });
  });

  describe("local.INSTANCE.bridged", () => {
    it("adds one interface to a stopped instance, and cannot be undone", async () => {
      const strata = await open("lan");
      await strata.instances.launch({ image: "any", name: "web" });
      expect(await strata.settings.get("local.web.bridged")).to.equal("false");
      await strata.settings.set("local.web.bridged", "false");
      expect(await refusal(strata.settings.set("local.web.bridged", "true"))).to.match(/^WRONG_STATE/);
      await strata.instances.stop(["web"]);
      await strata.settings.set("local.web.bridged", "true");
      await strata.settings.set("local.web.bridged", "true");
      expect((await nicsOf(strata, "web")).map(({ network }) => network)).to.deep.equal(["lan"]);
      expect(await refusal(strata.settings.set("local.web.bridged", "false"))).to.match(/^INVALID_VALUE/);
      expect(await refusal(strata.settings.set("local.web.bridged", "maybe"))).to.match(/^INVALID_VALUE/);
      expect((await strata.settings.keys()).includes("local.web.bridged")).to.equal(true);
    });

    it("goes back with a snapshot from before", async () => {
      const strata = await open("lan");
      await strata.instances.launch({ image: "any", name: "web" });
      await strata.instances.stop(["web"]);
      await strata.snapshots.take("web", { name: "before" });
      await strata.settings.set("local.web.bridged", "true");
      await strata.snapshots.restore({ instance: "web", snapshot: "before" });
      expect(await strata.settings.get("local.web.bridged")).to.equal("false");
    });
  });
});

describe("the value of --network", () => {
  it("is a name, or a name with a mode and an address", () => {
    expect(parseNicSpec("lan")).to.deep.equal({ network: "lan" });
    expect(parseNicSpec("name=lan")).to.deep.equal({ network: "lan", mode: "auto" });
    expect(parseNicSpec("mac=52:54:00:00:00:01,name=lan,mode=manual")).to.deep.equal({
      network: "lan",
      mode: "manual",
      mac: "52:54:00:00:00:01",
    });
  });

  it("is refused when it is anything else", () => {
    for (const text of [
      "",
      "mode=auto",
      "name=",
      "name=lan,mode=on",
      "name=lan,name=lan",
      "lan,mode=auto",
      "name=lan,x=y",
    ]) {
      expect(() => parseNicSpec(text), text).to.throw("--network");
    }
  });
});

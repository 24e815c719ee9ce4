import { rejects, same } from "./assert.ts";
import { context, current, type Fixture, lockOf, newSpec, take, withInstance } from "./fixture.ts";
import { feature, type Kit } from "./kit.ts";
import { NotTried } from "./tally.ts";

const MAC = "52:54:00:c0:ff:ee";
const MAC_FORM = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i;

/** Networks that instances can be on. */
export function networkTests(kit: Kit): void {
  kit.it("are refused where the engine declares none, and nothing is made", async (fixture) => {
    if (kit.info().features.has("network.list")) {
      throw new NotTried("networks are declared");
    }
    const spec = newSpec(fixture, { networks: [{ network: "default" }] });
    await rejects(
      withInstance(fixture, async () => {}, spec),
      "UNSUPPORTED",
    );
    same(await fixture.engine.instances.find(spec.name), null);
  });

  feature(kit, "network.list", "give an instance the interfaces that were asked for", async (fixture) => {
    const network = await anyNetwork(fixture);
    await withInstance(
      fixture,
      async (instance) => {
        const { nics } = await current(fixture, instance);
        same(
          nics.map((nic) => nic.network),
          [network, network],
        );
        same(nics[0]?.mac.toLowerCase(), MAC);
        same(MAC_FORM.test(nics[1]?.mac ?? ""), true, "an address of its own");
      },
      { networks: [{ network, mac: MAC }, { network }] },
    );
  });

  feature(
    kit,
    "network.list",
    "are refused where they are not known, and nothing is made",
    async (fixture) => {
      const { name } = newSpec(fixture);
      const networks = [{ network: "no-such-network" }];
      const made = withInstance(fixture, async () => {}, { name, networks });
      await made.then(
        () => Promise.reject(new Error("it was made")),
        () => {},
      );
      same(await fixture.engine.instances.find(name), null);
    },
  );

  feature(kit, "network.attach", "come and go with snapshots", async (fixture) => {
    const network = await anyNetwork(fixture);
    await withInstance(fixture, async (instance) => {
      const { networks, snapshots } = fixture.engine;
      await take(fixture, instance, "without");
      if (networks?.attach === undefined) {
        throw new Error("the engine cannot add interfaces");
      }
      await networks.attach(lockOf(instance.id), { network, mac: MAC }, context());
      same((await current(fixture, instance)).nics, [{ network, mac: MAC }]);
      await take(fixture, instance, "with");
      await snapshots.restore(lockOf(instance.id), "without", context());
      same((await current(fixture, instance)).nics, []);
      await snapshots.restore(lockOf(instance.id), "with", context());
      same((await current(fixture, instance)).nics, [{ network, mac: MAC }]);
      const recorded = (await snapshots.tree(instance.id)).snapshots.map(({ nics }) => nics.length);
      same(recorded, [0, 1], "what the snapshots record");
    });
  });

  feature(kit, "network.attach", "are not added while it runs", async (fixture) => {
    const network = await anyNetwork(fixture);
    await withInstance(fixture, async (instance) => {
      const { instances, networks } = fixture.engine;
      if (networks?.attach === undefined) {
        throw new Error("the engine cannot add interfaces");
      }
      await instances.start(lockOf(instance.id), context());
      await rejects(networks.attach(lockOf(instance.id), { network }, context()), "WRONG_STATE");
      await instances.stop(lockOf(instance.id), "force", context());
      same((await current(fixture, instance)).nics, []);
    });
  });
}

async function anyNetwork({ engine }: Fixture): Promise<string> {
  const [network] = (await engine.networks?.list()) ?? [];
  if (network === undefined) {
    throw new Error("the engine knows no network");
  }
  return network.name;
}

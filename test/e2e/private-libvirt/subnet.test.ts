import { expect } from "chai";
import type { OpenOptions } from "../../../lib/engine/contract.ts";
import { type LibvirtEngine, openEngine } from "../../../plugins/libvirt/engine.ts";
import { findTakenSubnet, repairSubnet } from "../../../plugins/libvirt/network/subnet.ts";
import { silent } from "../../support/libvirt/fixture.ts";
import { type PrivateDaemon, privateDaemon } from "../../support/libvirt/private-daemon.ts";

/** 192.168.122.0/24 leads elsewhere on this host. */
const ROUTES = [{ device: "eth0", start: 0xc0a87a00, prefix: 24 }];

const NETWORK = `<network><name>default</name><bridge name="virbr0"/><dns enable="no"/>
<ip address="192.168.122.1" netmask="255.255.255.0"/></network>`;

describe("the subnet of the network for instances is taken", () => {
  let daemon: PrivateDaemon;
  let engine: LibvirtEngine;
  before(async () => {
    daemon = await privateDaemon();
    const options: OpenOptions = { settings: { uri: daemon.uri }, dataFolder: daemon.folder, log: silent };
    engine = await openEngine(options);
  });
  after(async () => {
    await engine[Symbol.asyncDispose]();
    await daemon[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    const network = await engine.connection.lookupNetworkByName("default");
    if (await network.isActive()) {
      await network.destroy();
    }
    await network.undefine();
    await engine.connection.defineNetwork(NETWORK);
  });

  it("doctor proposes a free one, and its repair starts the network with that", async () => {
    const [finding] = await findTakenSubnet(engine, ROUTES);
    expect(finding).to.include({ kind: "subnet-taken", subject: "default" });
    expect(finding?.repair).to.contain("192.168.123.0/24");
    expect(await repairSubnet(engine, ROUTES)).to.equal(true);
    const network = await engine.connection.lookupNetworkByName("default");
    expect(await network.isActive()).to.equal(true);
    expect(await network.getXml()).to.contain("192.168.123.1");
    expect(await findTakenSubnet(engine, ROUTES)).to.deep.equal([]);
  });

  it("is not said of a network that runs, whose own route leads there, and that is left as it is", async () => {
    const network = await engine.connection.lookupNetworkByName("default");
    await network.create();
    expect(await findTakenSubnet(engine, ROUTES)).to.deep.equal([]);
    expect(await repairSubnet(engine, ROUTES)).to.equal(false);
    expect(await network.getXml()).to.contain("192.168.122.1");
  });
});

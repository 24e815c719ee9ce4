import { expect } from "chai";
import {
  freeSubnet,
  moveSubnet,
  parseRoutes,
  readSubnet,
} from "../../../../../plugins/libvirt/network/subnet.ts";
import { parse, serialize } from "../../../../../plugins/libvirt/xml/document.ts";

/** As Linux writes it: a default route, 192.168.122.0/24, and 192.168.123.0/25. */
const ROUTES = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0100A8C0	0003	0	0	0	00000000	0	0	0
eth0	007AA8C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
wg0	007BA8C0	00000000	0001	0	0	0	80FFFFFF	0	0	0
`;

const NETWORK = `<network><name>default</name><forward mode='nat'/>
<ip address='192.168.122.1' netmask='255.255.255.0'><dhcp><range start='192.168.122.2' end='192.168.122.254'/>
<host mac='52:54:00:00:00:01' ip='192.168.122.9'/></dhcp></ip></network>`;

describe("the subnet of a network", () => {
  it("is taken where a route of this host leads there", async () => {
    const routes = parseRoutes(ROUTES);
    expect(routes.map(({ device, prefix }) => [device, prefix])).to.deep.equal([
      ["eth0", 24],
      ["wg0", 25],
    ]);
    expect(readSubnet(await parse(NETWORK))?.start).to.equal(routes[0]?.start);
  });

  it("is looked for past those that are taken, partly or as part of a larger one", () => {
    expect(freeSubnet(parseRoutes(ROUTES))).to.equal("192.168.124");
    expect(freeSubnet([])).to.equal("192.168.123");
    const half = { start: 192 * 2 ** 24 + 168 * 2 ** 16 + 64 * 2 ** 8, prefix: 18 };
    expect(freeSubnet([half])).to.equal("192.168.128");
    expect(freeSubnet([{ start: 192 * 2 ** 24 + 168 * 2 ** 16, prefix: 16 }])).to.equal(null);
  });

  it("is moved with its addresses, and nothing else", async () => {
    const document = await parse(NETWORK);
    moveSubnet(document, "192.168.150");
    expect(serialize(document)).to.equal(
      serialize(await parse(NETWORK.replaceAll("192.168.122.", "192.168.150."))),
    );
  });

  it("is left to its owner where it has another length", async () => {
    const wide = NETWORK.replace("255.255.255.0", "255.255.0.0");
    expect(readSubnet(await parse(wide))).to.equal(null);
  });
});

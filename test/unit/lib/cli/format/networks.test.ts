import { expect } from "chai";
import { formatNetworks } from "../../../../../lib/cli/format/networks.ts";

const NETWORKS = [
  { name: "default", type: "nat", description: 'the "first", on virbr0' },
  { name: "lan", type: "bridge", description: "on br0" },
];

describe("networks", () => {
  it("are shown in four formats", () => {
    expect(formatNetworks(NETWORKS, "table")).to.equal(
      'Name      Type     Description\ndefault   nat      the "first", on virbr0\nlan       bridge   on br0\n',
    );
    expect(formatNetworks(NETWORKS, "csv")).to.equal(
      'Name,Type,Description\ndefault,nat,"the ""first"", on virbr0"\nlan,bridge,"on br0"\n',
    );
    expect(JSON.parse(formatNetworks(NETWORKS, "json"))).to.deep.equal({ list: NETWORKS });
    expect(formatNetworks(NETWORKS, "yaml")).to.equal(
      'default:\n  - type: nat\n    description: the "first", on virbr0\nlan:\n  - type: bridge\n    description: on br0\n',
    );
  });

  it("are said to be none where there are none", () => {
    expect(formatNetworks([], "table")).to.equal("No networks found.\n");
    expect(JSON.parse(formatNetworks([], "json"))).to.deep.equal({ list: [] });
  });
});

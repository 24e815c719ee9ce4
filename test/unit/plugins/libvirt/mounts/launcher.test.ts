import { expect } from "chai";
import fc from "fast-check";
import { idMapLines, isLauncher, launcherScript } from "../../../../../plugins/libvirt/mounts/launcher.ts";

/** What the kernel makes of the lines: outside by inside. */
function read(lines: string): Map<number, number> {
  const map = new Map<number, number>();
  for (const line of lines.trimEnd().split("\n")) {
    const [inside = Number.NaN, outside = Number.NaN, count] = line.split(" ").map(Number);
    expect(count).to.equal(1);
    expect(map.has(inside), `inside ${inside} twice`).to.equal(false);
    expect([...map.values()].includes(outside), `outside ${outside} twice`).to.equal(false);
    map.set(inside, outside);
  }
  return map;
}

describe("the ids of virtiofsd's user namespace", () => {
  it("make the guest's root nobody unless the map says who it is", () => {
    expect(idMapLines([{ host: 1001, guest: 1000 }])).to.equal("0 65534 1\n1000 1001 1\n");
    expect(idMapLines([{ host: 5, guest: 0 }])).to.equal("0 5 1\n");
    expect(idMapLines([{ host: 65534, guest: 1000 }])).to.equal("0 65533 1\n1000 65534 1\n");
    expect(idMapLines([]), "no map leaves ids as they are").to.equal("0 0 4294967295\n");
  });

  it("hold every map, and the host's root only where it is mapped", () => {
    const id = fc.integer({ min: 0, max: 2 ** 32 - 2 });
    const maps = fc.uniqueArray(fc.record({ host: id, guest: id }), {
      minLength: 1,
      maxLength: 20,
      selector: ({ host }) => host,
    });
    fc.assert(
      fc.property(maps, (given) => {
        const seen = new Set<number>();
        const oneToOne = given.filter(({ guest }) => !seen.has(guest) && seen.add(guest));
        const lines = read(idMapLines(oneToOne));
        for (const { host, guest } of oneToOne) {
          expect(lines.get(guest)).to.equal(host);
        }
        const root = oneToOne.find(({ host }) => host === 0);
        expect([...lines].find(([, outside]) => outside === 0)?.[0]).to.equal(root?.guest);
      }),
    );
  });
});

describe("the launcher of virtiofsd", () => {
  it("has the path of the source as one word, whatever is in it", () => {
    const script = launcherScript({ source: "/a'; rm -rf /; '\n$(id)", uidMap: [], gidMap: [] }, "/v");
    expect(script).to.contain("cd -P -- '/a'\\''; rm -rf /; '\\''\n$(id)'\n");
  });

  it("is known by its file name and nothing else is", () => {
    expect(isLauncher("virtiofsd-0123456789abcdef")).to.equal(true);
    for (const name of ["virtiofsd", "virtiofsd-0123456789abcdef.bak", "layer-x.qcow2", "virtiofsd-xyz"]) {
      expect(isLauncher(name), name).to.equal(false);
    }
  });
});

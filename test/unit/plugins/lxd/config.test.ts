import { expect } from "chai";
import type { Mount } from "../../../../lib/engine/contract.ts";
import { readCpus, readNics, readSize } from "../../../../plugins/lxd/domain/devices.ts";
import { LXD } from "../../../../plugins/lxd/flavour.ts";
import { isUnused } from "../../../../plugins/lxd/lifecycle/images.ts";
import { firstError } from "../../../../plugins/lxd/mounts/id-map-trial.ts";
import { explain, idMapKeys } from "../../../../plugins/lxd/mounts/id-maps.ts";
import { mountDevice, mountDevices, withoutMounts } from "../../../../plugins/lxd/mounts/mount-devices.ts";
import { networkKeys } from "../../../../plugins/lxd/network/network-config.ts";
import type { Devices } from "../../../../plugins/lxd/rest/shapes.ts";
import { thrownCode } from "../../../support/thrown-code.ts";

const NETWORK = "cloud-init.network-config";
const maps = (uid: [number, number][], gid: [number, number][] = []) => ({
  uidMap: uid.map(([host, guest]) => ({ host, guest })),
  gidMap: gid.map(([host, guest]) => ({ host, guest })),
});

describe("config and devices of LXD", () => {
  it("have sizes with LXD's units, and none where it is no fixed size", () => {
    const sizes = ["1024", "1kB", "2KiB", "3MB", "1GiB", "2TiB", "50%", "", "1XB"].map(readSize);
    expect(sizes).to.deep.equal([1024n, 1000n, 2048n, 3_000_000n, 1n << 30n, 2n << 40n, 0n, 0n, 0n]);
    expect(readSize(undefined)).to.equal(0n);
  });

  it("have CPUs by their number or pinned by name", () => {
    expect(["4", "0-3", "0-2,5", "7", "", "x"].map(readCpus)).to.deep.equal([4, 4, 4, 7, 0, 0]);
    expect(readCpus(undefined)).to.equal(0);
  });

  it("have further interfaces in their order, the tenth behind the second", () => {
    const nic = (network: string) => ({ type: "nic", network, hwaddr: `mac-${network}` });
    const devices = { "strata-nic-10": nic("c"), eth0: nic("a"), "strata-nic-2": nic("b") };
    expect(readNics(devices)).to.deep.equal([
      { network: "b", mac: "mac-b" },
      { network: "c", mac: "mac-c" },
    ]);
  });

  it("tell cloud-init of automatic interfaces and that it is to leave manual ones alone", () => {
    expect(networkKeys([])).to.deep.equal({});
    const first = networkKeys([{ network: "a" }, { network: "b", mode: "manual" }]);
    const read = (config: Record<string, string>) => JSON.parse(config[NETWORK] ?? "{}").ethernets;
    const automatic = (metric: number) => ({
      dhcp4: true,
      "dhcp4-overrides": { "route-metric": metric },
      optional: true,
    });
    expect(read(first)).to.deep.equal({
      eth0: { dhcp4: true },
      eth1: automatic(200),
      eth2: { dhcp4: false, optional: true },
    });
    expect(read(networkKeys([{ network: "c", mode: "auto" }], first, 3))).to.deep.equal({
      ...read(first),
      eth3: automatic(400),
    });
  });

  it("keep a network configuration that somebody else wrote", () => {
    for (const text of ["version: 1\n", '{"version":1,"config":[]}']) {
      expect(networkKeys([{ network: "a" }], { [NETWORK]: text })).to.deep.equal({});
    }
  });

  it("have a device for each mount, by its target, and lose none but those", () => {
    const mount: Mount = { source: "/src", target: `/${"x".repeat(200)}`, type: "native", ...maps([]) };
    const devices: Devices = { root: { type: "disk", path: "/" }, ...mountDevices([mount]) };
    expect(devices[mountDevice(mount)]).to.deep.equal({
      type: "disk",
      source: "/src",
      path: mount.target,
      required: "false",
    });
    expect(mountDevice(mount)).to.have.lengthOf.at.most(63);
    expect(withoutMounts(devices)).to.deep.equal({ root: { type: "disk", path: "/" } });
  });

  it("have one id map for all mounts, in which no two mounts may differ", () => {
    const both = idMapKeys([maps([[1000, 1000]], [[50, 5]]), maps([[33, 33]]), maps([[1000, 1000]])]);
    expect(both).to.deep.equal({ "raw.idmap": "uid 33 33\nuid 1000 1000\ngid 50 5" });
    expect(idMapKeys([maps([])])).to.deep.equal({ "raw.idmap": "" });
    expect(thrownCode(() => idMapKeys([maps([[1, 1]]), maps([[1, 2]])]))).to.equal("INVALID_VALUE");
    expect(thrownCode(() => idMapKeys([maps([[1, 1]]), maps([[2, 1]])]))).to.equal("INVALID_VALUE");
  });

  it("say of maps that the host refuses which lines would let them, of other trouble what LXD said", () => {
    const log = [
      "lxc q1 20261125031341.340 WARN     cgfsng - ../cgfsng.c:x:1 - No such file - harmless",
      'lxc q1 20261125031341.348 ERROR    conf - ../src/lxc/conf.c:lxc_map_ids:3708 - newuidmap failed to write mapping "…": newuidmap 8065 0',
      "lxc q1 20261125031341.348 ERROR    start - ../src/lxc/start.c:lxc_spawn:1788 - Failed to set up id mapping.",
    ].join("\n");
    const found = firstError(log) ?? "";
    expect(found).to.match(/^newuidmap failed/);
    const said = explain(LXD, ["uid 33 33", "uid 1000 1000", "gid 50 5"], found);
    for (const line of [
      "root:33:1 in /etc/subuid",
      "root:1000:1 in /etc/subuid",
      "root:50:1 in /etc/subgid",
    ]) {
      expect(said).to.contain(line);
    }
    expect(explain(LXD, ["uid 1 1"], "Failed to mount rootfs")).to.contain("Failed to mount rootfs");
    expect(firstError("all is well\n")).to.equal(undefined);
  });

  it("count an image as unused 14 days after its last use, or after it came if it had none", () => {
    const now = Date.parse("2026-01-31T00:00:00Z");
    const image = (uploaded_at: string, last_used_at: string) => ({
      fingerprint: "",
      properties: {},
      uploaded_at,
      last_used_at,
    });
    const never = "0001-01-01T00:00:00Z";
    expect(isUnused(image("2026-01-16T00:00:00Z", never), now)).to.equal(true);
    expect(isUnused(image("2026-01-18T00:00:00Z", never), now)).to.equal(false);
    expect(isUnused(image("2025-01-01T00:00:00Z", "2026-01-18T00:00:00Z"), now)).to.equal(false);
    expect(isUnused(image("2025-01-01T00:00:00Z", "2026-01-16T00:00:00Z"), now)).to.equal(true);
  });
});

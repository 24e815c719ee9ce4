import { expect } from "chai";
import { type Managed, toManaged } from "../../../../../plugins/lxd/domain/managed.ts";
import { KEYS, ownKeys, snapshotKeys, treeKeys } from "../../../../../plugins/lxd/domain/records.ts";
import { lostMember, toInstance, unreachable } from "../../../../../plugins/lxd/domain/view.ts";
import { restoredConfig } from "../../../../../plugins/lxd/journal/recovery.ts";
import { instanceShape } from "../../../../../plugins/lxd/rest/shapes.ts";
import {
  nameOfNode,
  pruned,
  readNodes,
  toSnapshot,
  withoutNode,
} from "../../../../../plugins/lxd/snapshots/tree.ts";

const record = {
  version: 1,
  image: { sha256: "ab", release: "12", os: "Debian" },
  username: "ubuntu",
  deleted: false,
  snapshotsTaken: 3,
  cloudInstanceId: "i-now",
  createdAt: 1,
};

/** A snapshot as LXD tells it, taken by strata, `at` ms after the epoch. */
function snapshot(name: string, parent: string | null, at: number, more: Record<string, string> = {}) {
  const taken = { name, parent, comment: `of ${name}`, cloudInstanceId: `i-${name}`, createdAt: at };
  const rest = { resources: { cpus: 1, memory: 1n, disk: 1n }, mounts: [], nics: [] };
  return {
    name: `web/${name}`,
    created_at: "2026-01-01T00:00:00Z",
    config: { ...more, ...snapshotKeys(`id-${name}`, { ...taken, ...rest }, parent && `id-${parent}`) },
    devices: {},
  };
}

function managed(snapshots: readonly object[], config: Record<string, string> = {}): Managed {
  const instance = instanceShape.parse({
    name: "web",
    status: "Stopped",
    type: "container",
    config: { ...ownKeys({ id: "u", record }), ...config },
    devices: {},
    snapshots,
  });
  const found = toManaged(instance, "etag");
  if (found === undefined) {
    throw new Error("it is foreign");
  }
  return found;
}

describe("snapshots of LXD with strata's records", () => {
  const three = [snapshot("c", "b", 3), snapshot("a", null, 1), snapshot("b", "a", 2)];

  it("come in order of creation, with their parents by name", () => {
    const nodes = readNodes(managed(three));
    expect(
      nodes.map((node) => toSnapshot(nodes, node)).map(({ name, parent }) => [name, parent]),
    ).to.deep.equal([
      ["a", null],
      ["b", "a"],
      ["c", "b"],
    ]);
  });

  it("keep their place when they are renamed by anybody", () => {
    const renamed = three.map((each) => (each.name === "web/b" ? { ...each, name: "web/other" } : each));
    const nodes = readNodes(managed(renamed));
    const c = nodes.find(({ name }) => name === "c");
    expect(nameOfNode(nodes, c?.parent ?? null)).to.equal("other");
  });

  it("take what has been amended for what they say themselves", () => {
    const amended = { "id-b": { parent: null, comment: "anew" } };
    const nodes = readNodes(managed(three, treeKeys({ standsOn: null, amended })));
    const b = nodes.find(({ name }) => name === "b");
    expect([b?.parent, b?.comment]).to.deep.equal([null, "anew"]);
  });

  it("that strata did not take are known by the moment of their creation", () => {
    const bare = { name: "web/by-hand", created_at: "2026-02-03T04:05:06Z", config: {}, devices: {} };
    const [node] = readNodes(managed([bare]));
    expect([node?.id, node?.parent, node?.comment]).to.deep.equal(["lxd-2026-02-03T04:05:06Z", null, ""]);
  });

  it("say how consistent they are: strata's own as it took them, others by whether the instance ran", () => {
    const by = (name: string, power: string) => ({
      name: `web/${name}`,
      created_at: `2026-01-0${name}T00:00:00Z`,
      config: { "volatile.last_state.power": power },
      devices: {},
    });
    const own = snapshot("own", null, 1, { "volatile.last_state.power": "RUNNING" });
    const nodes = readNodes(managed([own, by("2", "RUNNING"), by("3", "STOPPED")]));
    expect(nodes.map((node) => toSnapshot(nodes, node).consistency)).to.deep.equal([
      undefined,
      "crash",
      undefined,
    ]);
  });

  it("give their children, and an instance that stands on them, to their parent when they go", () => {
    const nodes = readNodes(managed(three));
    const b = nodes.find(({ name }) => name === "b");
    if (b === undefined) {
      throw new Error("there is no b");
    }
    const after = withoutNode({ standsOn: "id-b", amended: { "id-b": { comment: "x" } } }, nodes, b);
    expect(after).to.deep.equal({ standsOn: "id-a", amended: { "id-c": { parent: "id-a" } } });
  });

  it("are forgotten in the records once they are gone", () => {
    const tree = { standsOn: "id-a", amended: { "id-a": { comment: "x" }, "id-gone": { comment: "y" } } };
    expect(pruned(tree, readNodes(managed(three))).amended).to.deep.equal({ "id-a": { comment: "x" } });
  });

  it("bring back limits, mounts and foreign keys, and leave the instance's records, lock and addresses", () => {
    const then = {
      "limits.cpu": "1",
      "user.other": "then",
      [KEYS.mounts]: "[]",
      [KEYS.lock]: "of who took it",
      "boot.autostart": "false",
      "volatile.eth0.hwaddr": "00:16:3e:00:00:01",
      "volatile.last_state.idmap": "[]",
      "volatile.last_state.power": "RUNNING",
      "volatile.eth0.host_name": "veth0",
    };
    const now = {
      "limits.cpu": "4",
      "user.new": "now",
      "boot.autostart": "true",
      [KEYS.lock]: "ours",
      [KEYS.operation]: '{"kind":"restore","id":"id-a"}',
      "volatile.eth0.hwaddr": "00:16:3e:00:00:02",
      "volatile.uuid": "same",
      "volatile.last_state.power": "STOPPED",
    };
    const present = managed([snapshot("a", null, 1, then)], now);
    const [node] = readNodes(present);
    if (node === undefined) {
      throw new Error("there is no snapshot");
    }
    const { [KEYS.instance]: own, ...config } = restoredConfig(present, node);
    expect(config).to.deep.equal({
      "limits.cpu": "1",
      "user.other": "then",
      "boot.autostart": "true",
      [KEYS.mounts]: "[]",
      [KEYS.lock]: "ours",
      [KEYS.operation]: now[KEYS.operation],
      [KEYS.tree]: '{"standsOn":"id-a","amended":{}}',
      "volatile.eth0.hwaddr": "00:16:3e:00:00:02",
      "volatile.uuid": "same",
      "volatile.last_state.idmap": "[]",
      "volatile.last_state.power": "STOPPED",
      "volatile.root.apply_quota": "true",
    });
    const { cloudInstanceId, snapshotsTaken } = JSON.parse(own ?? "{}");
    expect([cloudInstanceId, snapshotsTaken]).to.deep.equal(["i-a", 3]);
  });

  it("are read from what a restore has set aside while it is under way", () => {
    const aside = {
      name: "web/strata.restoring",
      created_at: "2026-01-02T00:00:00Z",
      config: { ...ownKeys({ id: "u", record: { ...record, username: "present" } }) },
      devices: {},
    };
    const found = managed([...three, aside]);
    expect(found.own.record.username).to.equal("present");
    expect(found.snapshots).to.have.lengthOf(3);
    expect(toInstance(found).snapshotCount).to.equal(3);
  });
});

describe("instances on a member that does not answer", () => {
  const told = { name: "web", type: "", config: null, devices: null };

  it("are known by having nothing but a name and a member", () => {
    const lost = instanceShape.parse({ ...told, status: "Error", location: "n1" });
    expect(lostMember(lost)).to.equal("n1");
    expect(lostMember({ ...lost, config: { "user.other": "x" } })).to.equal(undefined);
    expect(lostMember({ ...lost, status: "Stopped" })).to.equal(undefined);
    expect(lostMember({ ...lost, location: "" })).to.equal(undefined);
  });

  it("have an id that no instance has, are not deleted, and are in an unknown state", () => {
    const { id, state, member, record } = unreachable("web", "n1");
    expect([state, member, record.deleted]).to.deep.equal(["unknown", "n1", false]);
    expect(id).not.to.equal(managed([]).id);
  });
});

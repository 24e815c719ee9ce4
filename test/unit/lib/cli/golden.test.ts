import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { expect } from "chai";
import type {
  InstanceInfo,
  SnapshotInfo,
  SnapshotTreeInfo,
  Strata,
} from "../../../../lib/core/api/strata.ts";
import { parseRef } from "../../../../lib/core/snapshots/ref.ts";
import { VERSION } from "../../../../lib/version.ts";
import { type CliRoom, cliRoom } from "../../../support/cli.ts";

const FOLDER = new URL("../../../fixtures/golden/", import.meta.url);
const FORMATS = { table: "txt", json: "json", yaml: "yaml", csv: "csv" } as const;

const GIB = 1024n ** 3n;
const SHA256 = "d8127b7dd193aa0f9c2d35c1b7e0a4d65e1f30b7c2889d1ea6f1cc5c0e9a7f42";

const instances: readonly InstanceInfo[] = [
  {
    name: "db",
    id: "id-db",
    createdAt: 1_764_000_000_123,
    macs: null,
    hostDisk: null,
    autostart: null,
    engine: "memory",
    state: "Deleted",
    ipv4: [],
    release: "Debian 12",
    snapshotCount: 0,
    imageHash: SHA256,
    imageOs: "Debian",
    imageRelease: "12",
    cpus: 2,
    resources: { cpus: 2, memory: GIB, disk: 5n * GIB },
    guestAnswered: null,
    load: [],
    disk: null,
    memory: null,
    mounts: [],
    readImageSize: null,
    firmware: null,
    tpm: null,
    resumes: null,
  },
  {
    name: "web",
    id: "id-web",
    createdAt: 1_764_000_000_456,
    macs: ["52:54:00:00:00:01"],
    hostDisk: 123_456n,
    autostart: true,
    engine: "memory",
    state: "Running",
    ipv4: ["192.168.122.5", "10.8.0.1"],
    release: 'Debian GNU/Linux 12, "bookworm"',
    snapshotCount: 3,
    imageHash: SHA256,
    imageOs: "Debian",
    imageRelease: "12",
    cpus: 4,
    resources: {
      cpus: 4,
      memory: GIB,
      disk: 5n * GIB,
      disks: [
        { name: "vdb", size: 20n * GIB },
        { name: "vdc", size: 2n * GIB, excluded: true },
      ],
    },
    guestAnswered: true,
    load: [0.5, 0.25, 1],
    disk: { used: 1_610_612_736n, total: 5n * GIB },
    memory: { used: 268_435_456n, total: GIB },
    mounts: [
      {
        source: "/home/me/src",
        target: "/home/ubuntu/src",
        type: "native",
        uidMap: [{ host: 501, guest: 1000 }],
        gidMap: [{ host: 20, guest: 1000, default: true }],
      },
      { source: "/srv", target: "/srv", type: "classic", uidMap: [], gidMap: [] },
    ],
    readImageSize: null,
    firmware: null,
    tpm: null,
    resumes: null,
  },
];

const snapshot = (name: string, more: Partial<SnapshotInfo>): SnapshotInfo => ({
  instance: "web",
  name,
  comment: "",
  parent: null,
  children: [],
  createdAt: Date.UTC(2026, 10, 24, 12, 21, 29, 7),
  cpus: 4,
  memory: GIB,
  disk: 5n * GIB,
  mounts: [],
  size: 200_704n,
  consistency: "stopped",
  memorySize: null,
  group: null,
  ...more,
});

const trees: readonly SnapshotTreeInfo[] = [
  { instance: "db", snapshots: [], standsOn: null },
  {
    instance: "web",
    standsOn: "branch",
    snapshots: [
      snapshot("clean", { comment: "as launched", children: ["snapshot2", "branch"] }),
      snapshot("snapshot2", {
        parent: "clean",
        comment: 'first line, with "quotes"\nsecond line \u{1f680}\n',
        mounts: instances[1]?.mounts ?? [],
        size: null,
        disks: [{ name: "vdb", size: 10n * GIB }],
        consistency: "memory",
        memorySize: 44n * 1024n ** 2n,
      }),
      snapshot("branch", {
        parent: "clean",
        comment: "a comment that is much longer than the fifty characters that a table has room for",
        createdAt: Date.UTC(2026, 10, 25),
        consistency: "crash",
        group: "6a3c1f0e-98a4-4d55-9a0b-2f9d2b8f1c11",
      }),
    ],
  },
];

type Double = { readonly [Key in keyof Strata]?: Partial<Strata[Key]> };

const none: Double = {
  resolve: async (text: string) => parseRef(text),
  instances: {
    listing: async () => ({ engines: ["memory"], instances: [], failures: [] }),
    info: async () => [],
  },
  snapshots: { list: async () => [] },
  aliases: { list: async () => ({ active: "default", contexts: {} }) },
  networks: { list: async () => [] },
  [Symbol.asyncDispose]: async () => {},
};

const some: Double = {
  ...none,
  engine: {
    version: async () => "libvirt 9.0.0, QEMU 7.2.22",
    info: async () => ({
      name: "libvirt",
      version: VERSION,
      engine: "libvirt 9.0.0, QEMU 7.2.22",
      kind: "vm",
      features: new Set(),
      missing: new Map(),
      imageFormats: ["qcow2"],
    }),
  },
  instances: {
    listing: async () => ({ engines: ["memory"], instances, failures: [] }),
    info: async (names) => instances.filter(({ name }) => names === undefined || names.includes(name)),
  },
  snapshots: {
    list: async (names) => trees.filter(({ instance }) => names === undefined || names.includes(instance)),
    tree: async (name) =>
      trees.find(({ instance }) => instance === name) ?? { instance: name, snapshots: [], standsOn: null },
  },
  aliases: {
    list: async () => ({
      active: "work",
      contexts: {
        work: { top: { instance: "web", command: "top", workingDirectory: "map" } },
        default: { q: { instance: "db", command: "/opt/my, tool", workingDirectory: "default" } },
      },
    }),
  },
  networks: {
    list: async () => [
      { name: "br0", type: "bridge", description: "Network bridge" },
      { name: "default", type: "nat", description: 'NAT, "isolated" guests on virbr0' },
    ],
  },
};

/** Command lines by the name of their golden files. */
const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  list: ["list"],
  "list-snapshots": ["list", "--snapshots"],
  info: ["info"],
  "info-mixed": ["info", "web", "web.snapshot2", "web", "web.snapshot2"],
  "info-snapshots": ["info", "--snapshots"],
  aliases: ["aliases"],
  networks: ["networks"],
  version: ["version"],
};

/**
 * What each command prints in each format, byte by byte. After a wanted change:
 * `UPDATE_GOLDEN=1 npx mocha test/unit/lib/cli/golden.test.ts`, and look at the difference.
 */
describe("output that scripts read", () => {
  const zone = process.env.TZ;
  before(() => {
    process.env.TZ = "UTC";
  });
  after(() => {
    if (zone === undefined) {
      delete process.env.TZ;
    } else {
      process.env.TZ = zone;
    }
  });

  for (const [kind, double] of Object.entries({ some, none })) {
    for (const [name, args] of Object.entries(COMMANDS)) {
      if (kind === "none" && (name === "version" || name === "info-mixed")) {
        continue;
      }
      for (const [format, extension] of Object.entries(FORMATS)) {
        const file = `${name}${kind === "none" ? "-none" : ""}.${extension}`;
        it(`is that of ${file}`, async () => {
          await using at: CliRoom = await cliRoom(async () => double as Strata);
          const printed = await at.done(...args, "--format", format);
          // The version is typed in package.json alone.
          same(file, name === "version" ? printed.replaceAll(VERSION, "0.0.0") : printed);
        });
      }
    }
  }

  it("draws the trees", async () => {
    await using at = await cliRoom(async () => some as Strata);
    same("tree.txt", await at.done("list", "--snapshots", "--tree"));
  });
});

function same(file: string, actual: string): void {
  const url = new URL(file, FOLDER);
  if (process.env.UPDATE_GOLDEN !== undefined) {
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(url, actual);
  }
  expect(actual).to.equal(readFileSync(url, "utf8"));
}

import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { context, locked, lockOf, newSpec, take } from "../../lib/engine/conformance/fixture.ts";
import type { Instance } from "../../lib/engine/contract.ts";
import { newLayerPath } from "../../plugins/libvirt/layers/names.ts";
import { SnapshotCreateFlags, SnapshotDeleteFlags } from "../../plugins/libvirt/rpc/index.ts";
import { type LibvirtFixture, libvirtFixture } from "../support/libvirt/fixture.ts";
import { type Figure, least, type Scope, timed } from "./measure.ts";
import { strata } from "./start-up.ts";

const BY_HAND = fileURLToPath(new URL("by-hand.sh", import.meta.url));
const MIB = 1024n ** 2n;
const GIB = 1024n * MIB;
export const VERBS = ["take", "restore", "delete"] as const;

/** The disk that a verb works on: virtual size, bytes written before the first snapshot, snapshots below. */
interface Disk {
  readonly size: bigint;
  readonly data: bigint;
  readonly depth: number;
}

/** One way to do the verbs. Each take adds a snapshot that the restore goes to and the deletion removes. */
interface Way {
  readonly what: string;
  /** Before a take, and not measured. */
  prepare(): Promise<void>;
  take(name: string): Promise<unknown>;
  restore(name: string): Promise<unknown>;
  delete(name: string): Promise<unknown>;
}

/** Take, restore and delete beside a shell script, beside bare calls and beside internal snapshots. */
export async function verbs(scope: Scope): Promise<Figure[]> {
  const plain: Disk = { size: GIB, data: 0n, depth: 1 };
  const disks: Disk[] = scope.short
    ? [plain, { ...plain, depth: 20 }]
    : [
        plain,
        { ...plain, size: 64n * GIB },
        { ...plain, size: 1024n * GIB },
        { ...plain, size: 8n * GIB, data: GIB },
        { ...plain, size: 8n * GIB, data: 4n * GIB },
        { ...plain, depth: 10 },
        { ...plain, depth: 50 },
        { ...plain, depth: 150 },
      ];
  const figures: Figure[] = [];
  for (const disk of disks) {
    figures.push(...(await onDisk(scope, disk)));
  }
  return [...figures, ...(await deletions(scope))];
}

async function onDisk(scope: Scope, disk: Disk): Promise<Figure[]> {
  // As many files as libvirt takes: beside plain layers, ours are plain as well.
  await using fixture = await libvirtFixture({ "chain-length": "190" });
  await using ours = await Subject.create(fixture, disk);
  await using theirs = await Subject.create(fixture, disk);
  const internal = await internalWay(fixture.folder, disk);
  const ways = [libraryWay(ours), bareWay(theirs), programWay(ours), scriptWay(theirs), internal];
  const times = new Map<string, number[]>();
  for (let round = 0; round < scope.rounds; round++) {
    for (const way of ways) {
      await way.prepare();
      for (const verb of VERBS) {
        const key = `${way.what} ${verb}`;
        times.set(key, [
          ...(times.get(key) ?? []),
          await timed(() => way[verb](`r${round}-${ways.indexOf(way)}`)),
        ]);
      }
    }
  }
  await rm(join(fixture.folder, "internal.qcow2"), { force: true });
  const time = (way: Way | undefined, verb: string) => least(times.get(`${way?.what} ${verb}`) ?? []);
  const [library, bare, program, script] = ways;
  const where = `${disk.size / GIB} GiB, ${disk.data / GIB} GiB written, ${disk.depth} below`;
  return VERBS.flatMap((verb) =>
    (
      [
        [library, bare],
        [program, script],
        [program, internal],
      ] as const
    ).map(([one, other]) => ({
      subject: "verbs",
      what: `${verb}, ${one?.what}: ${where}`,
      ours: time(one, verb),
      peer: other?.what ?? "",
      theirs: time(other, verb),
    })),
  );
}

/** An instance that is never started, held where strata works on it by calls. */
export class Subject implements AsyncDisposable {
  readonly fixture: LibvirtFixture;
  readonly instance: Instance;

  private constructor(fixture: LibvirtFixture, instance: Instance) {
    this.fixture = fixture;
    this.instance = instance;
  }

  static async create(fixture: LibvirtFixture, { size: disk, data, depth }: Disk): Promise<Subject> {
    const resources = { cpus: 1, memory: 256n * MIB, disk };
    const instance = await fixture.engine.instances.create(newSpec(fixture, { resources }), context());
    const subject = new Subject(fixture, instance);
    if (data > 0n) {
      await subject.write(1, 0n, data);
    }
    await subject.whileLocked(async () => {
      for (let at = 1; at <= depth; at++) {
        await take(fixture, instance, `below${at}`);
      }
    });
    return subject;
  }

  async write(value: number, offset: bigint, bytes: bigint): Promise<void> {
    const { activeLayer } = await this.fixture.layers(this.instance);
    // QEMU takes less than 2 GiB in one request.
    for (let at = 0n; at < bytes; at += GIB) {
      const length = bytes - at < GIB ? bytes - at : GIB;
      await execa("qemu-io", [
        "-f",
        "qcow2",
        "-c",
        `write -P ${value} ${offset + at} ${length}`,
        activeLayer,
      ]);
    }
  }

  async whileLocked<T>(work: () => Promise<T>): Promise<T> {
    // Another process may look at all instances meanwhile.
    await using _lock = await locked(this.fixture, this.instance, 5000);
    return await work();
  }

  async drop(name: string): Promise<void> {
    const { snapshots } = this.fixture.engine;
    const removal = await snapshots.removal?.(this.instance.id, name);
    if (removal != null) {
      await snapshots.delete(lockOf(this.instance.id), removal, context());
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.whileLocked(() => this.fixture.engine.instances.remove(lockOf(this.instance.id), context()));
  }
}

/** The contract's calls in this process, under a lock of their own each, as a caller of the library has it. */
export function libraryWay(subject: Subject): Way {
  const { fixture, instance } = subject;
  const { snapshots } = fixture.engine;
  return {
    what: "library call",
    prepare: async () => {},
    take: (name) => subject.whileLocked(() => take(fixture, instance, name)),
    restore: (name) => subject.whileLocked(() => snapshots.restore(lockOf(instance.id), name, context())),
    delete: (name) => subject.whileLocked(() => subject.drop(name)),
  };
}

function programWay({ instance: { name: instance } }: Subject): Way {
  return {
    what: "strata",
    prepare: async () => {},
    take: (name) => strata("snapshot", instance, "--name", name),
    restore: (name) => strata("restore", "--destructive", `${instance}.${name}`),
    delete: (name) => strata("delete", "--purge", `${instance}.${name}`),
  };
}

/** The files of a way that keeps no records of its own: what is found before a take, and what comes after. */
class Files {
  frozen = "";
  below = "";
  file = "";
  readonly #subject: Subject;

  constructor(subject: Subject) {
    this.#subject = subject;
  }

  async prepare(): Promise<void> {
    const { activeLayer, folder } = await this.#subject.fixture.layers(this.#subject.instance);
    const { stdout } = await execa("qemu-img", ["info", "--output=json", activeLayer]);
    this.frozen = activeLayer;
    this.below = JSON.parse(stdout)["full-backing-filename"];
    this.file = newLayerPath(folder);
  }

  /** Puts a fresh file in the place of the overlay; returns the old one. */
  replace(): string {
    const old = this.file;
    this.file = newLayerPath(dirname(old));
    return old;
  }
}

/** The fewest calls of libvirt and qemu-img that do it, in this process, without a lock or a look. */
function bareWay(subject: Subject): Way {
  const { fixture, instance } = subject;
  const domain = fixture.connection.domainOfUuid(instance.id);
  const files = new Files(subject);
  return {
    what: "bare calls",
    prepare: () => files.prepare(),
    async take(name) {
      const disk = `<disk name="vda" snapshot="external"><source file="${files.file}"/></disk>`;
      const xml = `<domainsnapshot><name>${name}</name><memory snapshot="no"/><disks>${disk}<disk name="vdb" snapshot="no"/></disks></domainsnapshot>`;
      await domain.createSnapshot(xml, SnapshotCreateFlags.DISK_ONLY | SnapshotCreateFlags.ATOMIC);
    },
    async restore(name) {
      const old = files.replace();
      await execa("qemu-img", ["create", "-q", "-f", "qcow2", "-b", files.frozen, "-F", "qcow2", files.file]);
      const record = await (await domain.lookupSnapshot(name)).getXml();
      const [recorded = ""] = /^ {2}<domain [\s\S]*^ {2}<\/domain>/m.exec(record) ?? [];
      const source = /<source file='[^']*\/layer-[^']*'/;
      await fixture.connection.defineDomain(recorded.replace(source, `<source file='${files.file}'`));
      await domain.createSnapshot(record, SnapshotCreateFlags.REDEFINE | SnapshotCreateFlags.CURRENT);
      await rm(old);
    },
    async delete(name) {
      await (await domain.lookupSnapshot(name)).delete(SnapshotDeleteFlags.METADATA_ONLY);
      await execa("qemu-img", ["rebase", "-q", "-f", "qcow2", "-b", files.below, "-F", "qcow2", files.file]);
      await rm(files.frozen);
    },
  };
}

function scriptWay(subject: Subject): Way {
  const files = new Files(subject);
  const run = (verb: string, name: string, ...paths: readonly string[]) =>
    execa(BY_HAND, [verb, subject.instance.name, name, ...paths]);
  return {
    what: "virsh and qemu-img in a script",
    prepare: () => files.prepare(),
    take: (name) => run("take", name, files.file),
    restore(name) {
      const old = files.replace();
      return run("restore", name, files.frozen, files.file, old);
    },
    delete: (name) => run("delete", name, files.frozen, files.below, files.file),
  };
}

/** Snapshots inside one qcow2 file, as other orchestrators have them: qemu-img alone, without records. */
async function internalWay(folder: string, { size, data, depth }: Disk): Promise<Way> {
  const path = join(folder, "internal.qcow2");
  await execa("qemu-img", ["create", "-q", "-f", "qcow2", path, String(size)]);
  for (let at = 0n; at < data; at += GIB) {
    await execa("qemu-io", [
      "-f",
      "qcow2",
      "-c",
      `write -P 1 ${at} ${data - at < GIB ? data - at : GIB}`,
      path,
    ]);
  }
  const run = (flag: string, name: string) => execa("qemu-img", ["snapshot", "-q", flag, name, path]);
  for (let at = 1; at <= depth; at++) {
    await run("-c", `below${at}`);
  }
  return {
    what: "qemu-img snapshot, internal",
    prepare: async () => {},
    take: (name) => run("-c", name),
    restore: (name) => run("-a", name),
    delete: (name) => run("-d", name),
  };
}

/** Deletions that have something to copy, and of a branch point. */
async function deletions(scope: Scope): Promise<Figure[]> {
  const data = (scope.short ? 32n : 512n) * MIB;
  await using fixture = await libvirtFixture();
  const disk = { size: 8n * GIB, data: 0n, depth: 1 };
  await using ours = await Subject.create(fixture, disk);
  await using theirs = await Subject.create(fixture, disk);
  const rounds = Math.min(scope.rounds, 5);
  const times = new Map<string, number[]>();
  const add = async (key: string, work: () => Promise<unknown>) => {
    times.set(key, [...(times.get(key) ?? []), await timed(work)]);
  };
  for (let round = 0; round < rounds; round++) {
    for (const subject of [ours, theirs]) {
      const by = subject === ours ? "ours" : "theirs";
      const { name: domain } = subject.instance;
      const files = new Files(subject);
      await files.prepare();
      await subject.write(round + 1, 0n, data);
      await subject.whileLocked(() => take(fixture, subject.instance, `large${round}`));
      await subject.write(round + 100, 0n, MIB);
      const { frozen, below } = files;
      await files.prepare();
      await subject.whileLocked(() => take(fixture, subject.instance, `small${round}`));
      const child = files.frozen;
      await add(`middle ${by}`, () =>
        subject === ours
          ? strata("delete", "--purge", `${domain}.large${round}`)
          : execa(BY_HAND, ["delete", domain, `large${round}`, frozen, below, child]),
      );
    }
  }
  const time = (key: string) => least(times.get(key) ?? []);
  return [
    {
      subject: "verbs",
      what: `delete, strata: in the middle, ${data / MIB} MiB in it, 1 MiB above`,
      ours: time("middle ours"),
      peer: "virsh and qemu-img in a script",
      theirs: time("middle theirs"),
    },
  ];
}

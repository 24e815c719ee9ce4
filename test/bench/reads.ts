import { rm } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { context, locked, lockOf, newSpec, take } from "../../lib/engine/conformance/fixture.ts";
import type { Instance } from "../../lib/engine/contract.ts";
import { type LibvirtFixture, libvirtFixture } from "../support/libvirt/fixture.ts";
import { byTurns, type Figure, type Scope, timed } from "./measure.ts";

const MIB = 1024 ** 2;
const CLUSTER = 65536;
/** Clusters that each layer writes, at places all over the disk. */
const CLUSTERS = 20;
/** Far from one read to the next, an odd number of blocks: every block comes, none near the last. */
const STEP = 40988672;

type Kind = (typeof KINDS)[number];
const KINDS = ["random, warm", "sequential, warm", "random, cold"] as const;

/**
 * Reads through a head with many snapshots below it: plain layers beside what strata makes of them.
 * `qemu-img bench` runs QEMU's own block layer on the files, as the guest's disk does, without a guest
 * whose emulation costs more than the read. The disk is filled, so that every read finds data; it fits
 * into the page cache, so that warm reads cost QEMU's work alone, which is what layers add to.
 */
export async function reads(scope: Scope): Promise<Figure[]> {
  const depths = scope.short ? [1, 50] : [1, 10, 50, 100, 150, 1000];
  const size = BigInt((scope.short ? 256 : 1024) * MIB);
  await using plain = await libvirtFixture({ "chain-length": "190" });
  await using ours = await libvirtFixture();
  const shallow = await Stack.create(ours, size);
  const flat = await Stack.create(ours, size);
  const deep = await Stack.create(plain, size);
  try {
    await shallow.growTo(1);
    const figures: Figure[] = [];
    for (const depth of depths) {
      await flat.growTo(depth);
      const build = await timed(() => flat.optimize());
      // libvirt would not start more.
      const stacks = depth > 150 ? [shallow, flat] : [shallow, flat, deep];
      if (depth <= 150) {
        await deep.growTo(depth);
      }
      for (const kind of KINDS) {
        const pieces = stacks.map((stack) => ({
          before: () => stack.prepare(kind),
          work: () => stack.read(kind),
        }));
        const [one = Number.NaN, image, layers] = await byTurns(scope.rounds, ...pieces);
        const add = (what: string, time: number | undefined) => {
          if (time === undefined) {
            return;
          }
          const line = `${kind}: ${what}, ${depth} below`;
          figures.push({ subject: "reads", what: line, ours: time, peer: "1 snapshot below", theirs: one });
        };
        add("read image", image);
        add("plain layers", layers);
      }
      const [whole = Number.NaN] = await byTurns(1, { work: () => flat.copyWhole() });
      figures.push({
        subject: "reads",
        what: `bringing the read image up to date, ${depth} below`,
        ours: build,
        peer: "qemu-img convert of the head",
        theirs: whole,
      });
    }
    return figures;
  } finally {
    for (const stack of [shallow, flat, deep]) {
      await stack.remove();
    }
  }
}

/** An instance whose snapshots hold a little each. */
export class Stack {
  readonly #fixture: LibvirtFixture;
  readonly #instance: Instance;
  readonly #blocks: number;
  #depth = 0;

  private constructor(fixture: LibvirtFixture, instance: Instance) {
    this.#fixture = fixture;
    this.#instance = instance;
    this.#blocks = Number(instance.resources.disk) / CLUSTER;
  }

  static async create(fixture: LibvirtFixture, disk: bigint): Promise<Stack> {
    const resources = { cpus: 1, memory: 256n * 1024n ** 2n, disk };
    const instance = await fixture.engine.instances.create(newSpec(fixture, { resources }), context());
    const stack = new Stack(fixture, instance);
    await stack.#write([`write -P 1 0 ${disk}`]);
    return stack;
  }

  async growTo(depth: number): Promise<void> {
    await this.#held(async () => {
      for (; this.#depth < depth; this.#depth++) {
        await take(this.#fixture, this.#instance, `s${this.#depth + 1}`);
        const places = Array.from(
          { length: CLUSTERS },
          (_, at) => ((this.#depth * CLUSTERS + at) * 7919) % this.#blocks,
        );
        await this.#write(
          places.map((place) => `write -P ${(this.#depth % 250) + 2} ${place * CLUSTER} ${CLUSTER}`),
        );
      }
    });
  }

  async optimize(): Promise<void> {
    await this.#held(
      () => this.#fixture.engine.readImages?.build(lockOf(this.#instance.id), context()) ?? Promise.resolve(),
    );
  }

  async copyWhole(): Promise<void> {
    const { activeLayer, folder } = await this.#fixture.layers(this.#instance);
    const copy = join(folder, "bench-copy");
    await execa("qemu-img", ["convert", "-f", "qcow2", "-O", "qcow2", activeLayer, copy]);
    await rm(copy);
  }

  async read(kind: Kind): Promise<void> {
    const { activeLayer } = await this.#fixture.layers(this.#instance);
    const [count, how] =
      kind === "sequential, warm"
        ? [this.#blocks, ["-s", String(CLUSTER)]]
        : [kind === "random, warm" ? 60_000 : 4000, ["-s", "4096", "-S", String(STEP)]];
    await execa("qemu-img", ["bench", "-f", "qcow2", "-c", String(count), ...how, activeLayer]);
  }

  /** For cold reads takes the files out of the page cache, and no others. */
  async prepare(kind: Kind): Promise<void> {
    if (kind !== "random, cold") {
      return;
    }
    const { folder } = await this.#fixture.layers(this.#instance);
    await execa("sh", [
      "-c",
      'sync -f "$1"; for f in "$1"/*.qcow2; do dd if="$f" iflag=nocache count=0 status=none; done',
      "sh",
      folder,
    ]);
  }

  async remove(): Promise<void> {
    await this.#held(() => this.#fixture.engine.instances.remove(lockOf(this.#instance.id), context()));
  }

  async #write(commands: readonly string[]): Promise<void> {
    const { activeLayer } = await this.#fixture.layers(this.#instance);
    await execa("qemu-io", ["-f", "qcow2", ...commands.flatMap((each) => ["-c", each]), activeLayer]);
  }

  async #held(work: () => Promise<void>): Promise<void> {
    await using _lock = await locked(this.#fixture, this.#instance);
    await work();
  }
}

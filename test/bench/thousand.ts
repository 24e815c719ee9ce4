import { execa } from "execa";
import { context, locked, lockOf, newSpec, take } from "../../lib/engine/conformance/fixture.ts";
import { readLayers } from "../../plugins/libvirt/layers/layers.ts";
import { libvirtFixture } from "../support/libvirt/fixture.ts";
import { type Figure, least, type Scope, sideBySide, timed } from "./measure.ts";

const CLUSTER = 65536;

/**
 * A thousand snapshots of one instance: what takes and restores cost as they become many, how many files
 * QEMU opens, what the keyframes take, and that every single one comes back with its contents.
 */
export async function thousand(scope: Scope): Promise<Figure[]> {
  const count = scope.short ? 100 : 1000;
  await using fixture = await libvirtFixture();
  const { instances, snapshots, readImages } = fixture.engine;
  const resources = { cpus: 1, memory: 256n * 1024n ** 2n, disk: 1024n ** 3n };
  const instance = await instances.create(newSpec(fixture, { resources }), context());
  await using _lock = await locked(fixture, instance);
  const activeLayer = async () => (await fixture.layers(instance)).activeLayer;
  const pattern = (at: number) => (at % 255) + 1;
  try {
    const takes: number[] = [];
    for (let at = 1; at <= count; at++) {
      await execa("qemu-io", [
        "-f",
        "qcow2",
        "-c",
        `write -P ${pattern(at)} ${at * CLUSTER} 64k`,
        await activeLayer(),
      ]);
      takes.push(await timed(() => take(fixture, instance, `s${at}`)));
    }
    const restores: number[] = [];
    const opened: number[] = [];
    for (let at = 1; at <= count; at++) {
      restores.push(await timed(() => snapshots.restore(lockOf(instance.id), `s${at}`, context())));
      const [file, { folder }] = [await activeLayer(), await fixture.layers(instance)];
      opened.push((await readLayers({ name: instance.name, folder, own: new Map() })).opened(file).length);
      // qemu-io says so when a read finds another pattern.
      const reads = [`read -P ${pattern(at)} ${at * CLUSTER} 64k`, `read -P 0 ${(at + 1) * CLUSTER} 64k`];
      const { stdout } = await execa("qemu-io", [
        "-f",
        "qcow2",
        ...reads.flatMap((each) => ["-c", each]),
        file,
      ]);
      if (/Pattern verification failed/.test(stdout)) {
        throw new Error(`s${at} came back with other contents`);
      }
    }
    const tenth = count / 10;
    const early = (times: readonly number[]) => least(times.slice(0, tenth));
    const late = (times: readonly number[]) => least(times.slice(-tenth));
    const frames = Number((await readImages?.size(instance.id)) ?? 0n) / 1024 ** 2;
    const { folder } = await fixture.layers(instance);
    const { stdout } = await execa("du", ["-sm", folder]);
    const last = `the last ${tenth} of ${count}`;
    const first = `the first ${tenth}`;
    const subject = "thousand";
    return [
      { subject, what: `take, ${last}`, ours: late(takes), peer: first, theirs: early(takes) },
      {
        subject,
        what: `take with a keyframe, longest of ${count}`,
        ours: Math.max(...takes),
        peer: first,
        theirs: early(takes),
      },
      { subject, what: `restore, ${last}`, ours: late(restores), peer: first, theirs: early(restores) },
      // What `doctor` asks about it, beside the names alone.
      await sideBySide(
        { ...scope, rounds: 3 },
        { subject, what: `audit of ${count} snapshots`, peer: "virsh snapshot-list" },
        async () => fixture.engine.maintenance?.audit(),
        () => execa("virsh", ["-q", "-c", "qemu:///system", "snapshot-list", instance.name]),
      ),
      {
        subject,
        what: "files opened, most",
        unit: "files",
        ours: Math.max(...opened),
        peer: "libvirt's limit",
        theirs: 200,
      },
      {
        subject,
        what: "keyframes",
        unit: "MiB",
        ours: frames,
        peer: "all files",
        theirs: Number.parseInt(stdout, 10),
      },
    ];
  } finally {
    await instances.remove(lockOf(instance.id), context());
  }
}

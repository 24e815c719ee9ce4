/**
 * What strata costs beside what a user would otherwise type, measured side by side in one run.
 * Prints medians and ratios as a table and, with --json, as JSON. It never judges.
 */
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { context, newSpec, take } from "../../lib/backend/conformance/fixture.ts";
import { newLayerPath } from "../../plugins/libvirt/layers.ts";
import { SnapshotCreateFlags } from "../../plugins/libvirt/rpc/index.ts";
import { libvirtFixture } from "../support/libvirt.ts";

const ROUNDS = 20;
const PROGRAM = fileURLToPath(new URL("../../dist/bin/strata.js", import.meta.url));

interface Result {
  readonly what: string;
  readonly strata: number;
  readonly peer: string;
  readonly bare: number;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** Runs both by turns, so that whatever else the machine does hits both alike. */
async function compare(
  what: string,
  peer: string,
  ours: (round: number) => Promise<unknown>,
  theirs: (round: number) => Promise<unknown>,
): Promise<Result> {
  const strata: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    strata.push(await timed(() => ours(round)));
    bare.push(await timed(() => theirs(round)));
  }
  return { what, strata: median(strata), peer, bare: median(bare) };
}

function snapshotXml(name: string, file: string): string {
  return `<domainsnapshot><name>${name}</name><memory snapshot="no"/><disks><disk name="vda" snapshot="external"><source file="${file}"/></disk><disk name="vdb" snapshot="no"/></disks></domainsnapshot>`;
}

async function takes(): Promise<Result[]> {
  await using fixture = await libvirtFixture();
  const { instances } = fixture.backend;
  const [ours, theirs] = [
    await instances.create(newSpec(fixture), context()),
    await instances.create(newSpec(fixture), context()),
  ];
  try {
    const domain = await fixture.connection.lookupDomainByUuid(theirs.id);
    const { folder } = await fixture.layers(theirs);
    await using _hold = await instances.hold(ours.id, { wait: 0 }, context());
    const library = await compare(
      "take, library call",
      "bare libvirt call",
      (round) => take(fixture, ours, `lib-${round}`),
      (round) =>
        domain.createSnapshot(
          snapshotXml(`bare-${round}`, newLayerPath(folder)),
          SnapshotCreateFlags.DISK_ONLY | SnapshotCreateFlags.ATOMIC,
        ),
    );
    await _hold[Symbol.asyncDispose]();
    const whole = await compare(
      "take, whole process",
      "virsh snapshot-create-as",
      (round) => execa(process.execPath, [PROGRAM, "snapshot", ours.name, "-n", `cli-${round}`]),
      (round) => {
        const disk = `vda,snapshot=external,file=${newLayerPath(folder)}`;
        const name = `virsh-${round}`;
        return execa("virsh", [
          ..."-q -c qemu:///system snapshot-create-as --disk-only --atomic --diskspec vdb,snapshot=no".split(
            " ",
          ),
          ...["--diskspec", disk, theirs.name, name],
        ]);
      },
    );
    return [library, whole];
  } finally {
    for (const { id } of [ours, theirs]) {
      await using _hold = await instances.hold(id, { wait: 0 }, context());
      await instances.remove(id, context());
    }
  }
}

async function startUp(): Promise<Result[]> {
  return [
    await compare(
      "strata version",
      "node -e 0",
      () => execa(process.execPath, [PROGRAM, "version"]),
      () => execa(process.execPath, ["-e", "0"]),
    ),
    await compare(
      "strata list",
      "virsh list --all",
      () => execa(process.execPath, [PROGRAM, "list"]),
      () => execa("virsh", ["-q", "-c", "qemu:///system", "list", "--all"]),
    ),
  ];
}

const results = [...(await takes()), ...(await startUp())];
if (process.argv.includes("--json"))
  console.log(JSON.stringify({ node: process.version, rounds: ROUNDS, results }));
else {
  console.log(`median of ${ROUNDS}, ms; node ${process.version}`);
  for (const { what, strata, peer, bare } of results)
    console.log(
      `${what.padEnd(22)} ${strata.toFixed(1).padStart(8)}   ${peer.padEnd(26)} ${bare.toFixed(1).padStart(8)}   ratio ${(strata / bare).toFixed(2)}`,
    );
}

import { statfs } from "node:fs/promises";
import { execa } from "execa";
import { libvirtFixture } from "../support/libvirt/fixture.ts";
import { type FileSystem, privateDaemon } from "../support/libvirt/private-daemon.ts";
import { type Figure, type Scope, timed } from "./measure.ts";
import { Stack } from "./reads.ts";

const MIB = 1024 ** 2;
/** Snapshots below the head. */
const DEPTH = 10;

/** Building a read image where files share blocks, beside a file system where they do not. */
export async function reflink(scope: Scope): Promise<Figure[]> {
  const held = scope.short ? 256 : 1024;
  const ours = await building({ kind: "xfs", size: 4 * held * MIB }, held);
  const theirs = await building({ kind: "ext4", size: 4 * held * MIB }, held);
  const figure = (what: string, unit: "ms" | "MiB") => ({
    subject: "reflink",
    what: `${what} of ${held} MiB on XFS, ${DEPTH} below`,
    ours: ours[unit],
    unit,
    peer: "on ext4",
    theirs: theirs[unit],
  });
  return [figure("building the read image", "ms"), figure("room for the read image", "MiB")];
}

/** What it takes over a lowest layer that holds so many MiB. */
async function building(fileSystem: FileSystem, held: number): Promise<Record<"ms" | "MiB", number>> {
  await using daemon = await privateDaemon(fileSystem);
  await using fixture = await libvirtFixture({ uri: daemon.uri });
  const stack = await Stack.create(fixture, BigInt(held * MIB));
  await stack.growTo(DEPTH);
  const free = async () => {
    await execa("sync", ["-f", daemon.disk]);
    const { bavail, bsize } = await statfs(daemon.disk);
    return (bavail * bsize) / MIB;
  };
  const before = await free();
  const ms = await timed(() => stack.optimize());
  return { ms, MiB: before - (await free()) };
}

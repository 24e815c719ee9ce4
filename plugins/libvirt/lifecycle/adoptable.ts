import { failure } from "../../../lib/errors.ts";
import { quote } from "../../../lib/util/quote.ts";
import type { LibvirtEngine } from "../engine.ts";
import { firmwareObstacle } from "../firmware/obstacle.ts";
import type { Domain } from "../rpc/index.ts";
import { type InspectedDisk, inspectDisk, kindObstacles } from "../snapshots/coverable.ts";
import { type DiskUsers, standsOn } from "../storage/disk-users.ts";
import { disksOf, isWritten, targetOf, whyLeft } from "../xml/disks.ts";
import { type Element, elements, find } from "../xml/document.ts";
import type { Metadata } from "../xml/metadata.ts";
import { formatOfDisk } from "../xml/own-files.ts";

/** What the metadata of an adopted domain say of its disks. */
export type OwnDisks = Required<Pick<Metadata, "adopted" | "target">> & Pick<Metadata, "own" | "excluded">;

/** The disks that snapshots would cover, or every reason why strata cannot manage the domain. */
export type Examined =
  | { readonly obstacles: readonly string[]; readonly own?: never }
  | { readonly obstacles?: never; readonly own: OwnDisks };

/**
 * Looks at a domain that strata did not make, with `exclude` left out of snapshots. Rejects with DISK_NOT_FOUND for one
 * to exclude that is not there.
 */
export async function examine(
  engine: LibvirtEngine,
  domain: Domain,
  document: Element,
  exclude: readonly string[],
  readUsers: () => Promise<DiskUsers>,
): Promise<Examined> {
  const written = disksOf(document).filter(isWritten);
  const unknown = exclude.find((target) => !written.some((disk) => targetOf(disk) === target));
  if (unknown !== undefined) {
    throw failure("DISK_NOT_FOUND", { name: domain.name, disk: unknown });
  }
  const covered = written.filter((disk) => whyLeft(disk, { excluded: exclude }).left === undefined);
  const inspected = await Promise.all(
    covered.map(async (disk) => ({ target: targetOf(disk), disk, ...(await inspectDisk(engine, disk)) })),
  );
  const users = await readUsers();
  const obstacles = [...(await stateObstacles(domain)), ...commandObstacles(document)];
  obstacles.push(...(covered.length === 0 ? noneObstacles(written) : []));
  for (const each of inspected) {
    const reasons = [...each.obstacles, ...(await usersObstacles(document, domain, each, users))];
    const way = covered.length > 1 ? `; \`--exclude ${quote(each.target)}\` leaves it out` : "";
    obstacles.push(...reasons.map((reason) => `its disk ${each.target} ${reason}${way}`));
  }
  const firmware = await firmwareObstacle(engine, document, domain.uuid);
  obstacles.push(...(firmware === undefined ? [] : [firmware]));
  const [system] = inspected;
  return obstacles.length > 0 || system === undefined ? { obstacles } : { own: ownDisks(inspected, exclude) };
}

/** Why there is no disk to take snapshots of. */
function noneObstacles(written: readonly Element[]): string[] {
  if (written.length === 0) {
    return ["it must have a writable disk, and has none"];
  }
  // libvirt itself leaves some kinds out.
  const kinds = written.flatMap((disk) =>
    kindObstacles(disk).map((reason) => `its disk ${targetOf(disk)} ${reason}`),
  );
  const all = written.map(targetOf).join(", ");
  const way = `snapshots would leave out all of its disks, ${all}: take snapshot='no' or <shareable/> from one with virsh edit`;
  return kinds.length > 0 ? kinds : [way];
}

function ownDisks(
  inspected: readonly (InspectedDisk & { readonly target: string })[],
  exclude: readonly string[],
): OwnDisks {
  const [system] = inspected;
  const own = inspected.flatMap((disk) => disk.own ?? []);
  return {
    adopted: system?.file ?? "",
    target: system?.target ?? "",
    ...(own.length === 0 ? {} : { own }),
    ...(exclude.length === 0 ? {} : { excluded: exclude }),
  };
}

async function stateObstacles(domain: Domain): Promise<string[]> {
  if (!(await domain.isPersistent())) {
    return ["it must be persistent; it is transient and disappears when it stops"];
  }
  const [snapshots, checkpoints] = await Promise.all([domain.snapshotCount(), domain.listCheckpoints()]);
  return [
    ...(snapshots > 0 ? ["it has snapshots that strata did not take; delete them with virsh first"] : []),
    ...(checkpoints.length > 0
      ? [
          `it has checkpoints, beside which libvirt takes no snapshots: ${checkpoints.map((each) => `\`virsh checkpoint-delete ${quote(domain.name)} ${quote(each)}\``).join(", ")}`,
        ]
      : []),
  ];
}

/** Options with which QEMU gets a disk that libvirt does not know. */
const DRIVES = /^-?-(drive|blockdev|hd[a-d]|fd[ab]|mtdblock|pflash|sd)$/;

/** A disk that is on QEMU's command line alone is in no snapshot of libvirt's. */
function commandObstacles(document: Element): string[] {
  const line = elements(document).find(({ name }) => /^(.*:)?commandline$/.test(name));
  const values = elements(line).map(({ attributes: { value = "" } }) => value);
  return values.some((value) => DRIVES.test(value))
    ? [
        "its <qemu:commandline> gives it a disk that libvirt does not know: make that a <disk> with virsh edit",
      ]
    : [];
}

/** Snapshots keep a file unchanged, so nothing else may write it or be changed with it. */
async function usersObstacles(
  document: Element,
  domain: Domain,
  { target, file }: { readonly target: string; readonly file: string },
  users: DiskUsers,
): Promise<string[]> {
  if (file === "") {
    return [];
  }
  const other = (await users(file)).find(({ uuid }) => uuid !== domain.uuid);
  if (other !== undefined) {
    return [
      `is also used by the domain ${other.name}, which could overwrite what snapshots keep; give that domain its own disk`,
    ];
  }
  const found: string[] = [];
  for (const disk of disksOf(document).filter((each) => targetOf(each) !== target)) {
    const { file: path, dev = path } = find(disk, "source")?.attributes ?? {};
    if (dev !== undefined && (await standsOn(dev, file, formatOfDisk(disk)))) {
      found.push(`is also used by its disk ${targetOf(disk)}; give that a disk of its own with virsh edit`);
    }
  }
  return found;
}

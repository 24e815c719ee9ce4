import { disksOf, targetOf } from "./disks.ts";
import { type Element, find, prune } from "./document.ts";

/** What is in a drive for media that can be taken out. */
export interface Medium {
  /** Target of the drive, such as "sda". */
  readonly drive: string;
  /** The file or device; "" for what is elsewhere, such as on the network. */
  readonly path: string;
  /** True where the domain starts without it if it is not there. */
  readonly optional: boolean;
}

/** The CD and floppy drives of a definition, in its order, each with its element. */
function drives(domain: Element): readonly (readonly [drive: string, disk: Element])[] {
  return disksOf(domain)
    .filter(({ attributes: { device } }) => device === "cdrom" || device === "floppy")
    .map((disk) => [targetOf(disk), disk] as const);
}

/** Targets of the CD and floppy drives, empty ones too. */
export function readDrives(domain: Element): string[] {
  return drives(domain).map(([drive]) => drive);
}

/** The media in the drives; an empty drive has none. */
export function readMedia(domain: Element): Medium[] {
  return drives(domain).flatMap(([drive, disk]) => {
    const source = find(disk, "source");
    if (source === undefined) {
      return [];
    }
    const { file, dev, startupPolicy } = source.attributes;
    return [{ drive, path: file ?? dev ?? "", optional: startupPolicy === "optional" }];
  });
}

/** Empties a drive, and returns its element; undefined if there is none of that name. */
export function emptyDrive(domain: Element, name: string): Element | undefined {
  const [, disk] = drives(domain).find(([drive]) => drive === name) ?? [];
  if (disk !== undefined) {
    prune(disk, (child) => ["source", "backingStore"].includes(child.name));
  }
  return disk;
}

import { findDisk, setDisks, writtenDisks } from "./disks.ts";
import { copy, type Element, elements, find, prune, put } from "./document.ts";
import { setForwardedPort } from "./domain.ts";
import { keepVariables } from "./firmware.ts";
import { type Metadata, putMetadata } from "./metadata.ts";

/**
 * The targets of the disks that a restore leaves as the instance has them: those that snapshots leave out now, and
 * those that the snapshot left out, which covers `covered`.
 */
export function stayingDisks(
  recorded: Element,
  covered: readonly string[],
  present: Element,
  metadata: Metadata,
): string[] {
  const then = writtenDisks(recorded).flatMap(({ target }) => (covered.includes(target) ? [] : [target]));
  return writtenDisks(present, metadata).flatMap(({ target, left }) =>
    left !== undefined || then.includes(target) ? [target] : [],
  );
}

/**
 * The domain as a snapshot recorded it, to be defined in place of `present`: everything mutable comes from
 * the snapshot; the identity (name, UUID, MAC of the first interface, metadata) stays. `files` has those of the
 * disks that the snapshot covers, by their targets; of the others that a guest writes, those stay that `present`
 * has and the restore leaves alone.
 */
export function restoredDomain(
  recorded: Element,
  present: Element,
  files: ReadonlyMap<string, string>,
  metadata: Metadata,
): Element {
  const domain: Element = { ...copy(recorded), name: "domain" };
  for (const name of ["name", "uuid"]) {
    const own = find(present, name);
    if (own !== undefined) {
      put(domain, copy(own));
    }
  }
  const mac = find(present, "devices", "interface", "mac");
  const nic = find(domain, "devices", "interface");
  if (mac !== undefined && nic !== undefined) {
    put(nic, copy(mac));
  }
  putDisks(domain, recorded, present, files, metadata);
  keepVariables(domain, present);
  if (metadata.sshPort !== undefined) {
    setForwardedPort(domain, metadata.sshPort);
  }
  putMetadata(domain, metadata);
  return domain;
}

function putDisks(
  domain: Element,
  recorded: Element,
  present: Element,
  files: ReadonlyMap<string, string>,
  metadata: Metadata,
): void {
  const staying = stayingDisks(recorded, [...files.keys()], present, metadata).filter(
    (target) => !files.has(target),
  );
  const written = writtenDisks(recorded).map(({ target }) => target);
  const devices = find(domain, "devices");
  const gone = written.filter((target) => !files.has(target)).map((target) => findDisk(domain, target));
  if (devices !== undefined) {
    prune(devices, (child) => gone.includes(child));
    for (const target of staying) {
      const disk = findDisk(present, target);
      if (disk !== undefined) {
        devices.children.push(withoutTakenAddress(copy(disk), devices));
      }
    }
  }
  setDisks(domain, files);
}

/** A device without its address, if another device has that: libvirt gives it another. */
function withoutTakenAddress(device: Element, devices: Element): Element {
  const key = addressOf(device);
  if (key !== undefined && elements(devices).some((other) => addressOf(other) === key)) {
    prune(device, ({ name }) => name === "address");
  }
  return device;
}

function addressOf(device: Element): string | undefined {
  const { attributes } = find(device, "address") ?? {};
  return attributes === undefined ? undefined : JSON.stringify(Object.entries(attributes).sort());
}

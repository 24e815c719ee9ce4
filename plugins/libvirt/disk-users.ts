import { stat } from "node:fs/promises";
import { isLibvirt } from "./errors.ts";
import { readHeader } from "./qcow2-header.ts";
import { type Connection, type Domain, DomainXmlFlags } from "./rpc/index.ts";
import { elements, find, parse } from "./xml/document.ts";

/** Which domains use a file: as a disk, or as what one stands on. */
export type DiskUsers = (path: string) => Promise<readonly Domain[]>;

/** Looks through the disks of all domains, strata's and others, down to what they stand on. */
export async function readDiskUsers(connection: Connection): Promise<DiskUsers> {
  const users = new Map<string, Domain[]>();
  for (const domain of await connection.listDomains())
    for (const file of await filesOf(domain)) users.set(file, [...(users.get(file) ?? []), domain]);
  return async (path) => users.get(await identity(path)) ?? [];
}

async function filesOf(domain: Domain): Promise<ReadonlySet<string>> {
  const files = new Set<string>();
  try {
    // One that runs may use other disks than after its next start.
    const flags = (await domain.isActive()) ? [DomainXmlFlags.INACTIVE, 0] : [DomainXmlFlags.INACTIVE];
    for (const each of flags) {
      const document = await parse(await domain.getXml(each));
      for (const disk of elements(find(document, "devices"), "disk"))
        await addChain(files, find(disk, "source")?.attributes.file);
    }
  } catch (error) {
    if (!isLibvirt(error, "NO_DOMAIN")) throw error;
  }
  return files;
}

async function addChain(files: Set<string>, disk: string | undefined): Promise<void> {
  for (let at = disk ?? null; at !== null; ) {
    const file = await identity(at);
    if (files.has(file)) return;
    files.add(file);
    at = await readHeader(at).then(
      ({ backing }) => backing,
      () => null,
    );
  }
}

/** The same for all names of a file: there are links. */
async function identity(path: string): Promise<string> {
  return stat(path, { bigint: true }).then(
    ({ dev, ino }) => `${dev}:${ino}`,
    () => path,
  );
}

import { createHash } from "node:crypto";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { locked } from "../../../lib/engine/conformance/fixture.ts";
import type { Fixture } from "../../../lib/engine/conformance/index.ts";
import type { Instance, Log } from "../../../lib/engine/contract.ts";
import { isStrataError } from "../../../lib/errors.ts";
import libvirt from "../../../plugins/libvirt/index.ts";
import {
  isFlattenedPath,
  isLayerPath,
  isPartialPath,
  layerOf,
} from "../../../plugins/libvirt/layers/names.ts";
import { readPendingRemovals } from "../../../plugins/libvirt/layers/pending-removals.ts";
import { readHeader } from "../../../plugins/libvirt/qcow2/header.ts";
import { type Connection, connect, type Domain, DomainXmlFlags } from "../../../plugins/libvirt/rpc/index.ts";
import { activeLayers, findDisk, readDisk, readDiskAt } from "../../../plugins/libvirt/xml/disks.ts";
import { type Element, find, parse } from "../../../plugins/libvirt/xml/document.ts";
import { readVariables } from "../../../plugins/libvirt/xml/firmware.ts";
import { readMetadata } from "../../../plugins/libvirt/xml/metadata.ts";
import { clearLeftovers, ownFolder } from "../leftovers.ts";
import { foreignDomain } from "./foreign-domain.ts";

export const silent: Log = { error() {}, warn() {}, info() {}, debug() {} };

export interface LibvirtFixture extends Fixture {
  readonly folder: string;
  readonly connection: Connection;
  /** The file that the domain writes, the folder of its layers, and the layers that wait to be taken away. */
  layers(
    instance: Pick<Instance, "id">,
  ): Promise<{ activeLayer: string; folder: string; pendingRemovals: readonly string[] }>;
}

/** Runs a callback that changes an instance while that is locked. */
export async function whileLocked<T>(
  fixture: Pick<Fixture, "engine">,
  instance: Pick<Instance, "id" | "name">,
  work: () => Promise<T>,
): Promise<T> {
  await using _lock = await locked(fixture, instance, 5000);
  return await work();
}

/** The code with which a callback is refused; "nothing" when it is not. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "nothing",
    (error: unknown) => (isStrataError(error) ? error.code : String(error)),
  );
}

/**
 * The engine on a real daemon, the system's by default, with an empty image and disks that are never booted.
 * `settings` are the engine's own.
 */
export async function libvirtFixture(
  settings: Readonly<Record<string, string>> = {},
): Promise<LibvirtFixture> {
  if (settings.uri === undefined) {
    await clearLeftovers();
  }
  const folder = await ownFolder("test");
  const path = join(folder, "image.qcow2");
  await execa("qemu-img", ["create", "-q", "-f", "qcow2", path, "1M"]);
  const sha256 = createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
  const engine = await libvirt.open({ settings, dataFolder: folder, log: silent });
  const connection = await connect(settings.uri ?? "qemu:///system");
  const layers = async ({ id }: Pick<Instance, "id">) => {
    const domain = await connection.lookupDomainByUuid(id);
    const document = await parse(await domain.getXml(DomainXmlFlags.INACTIVE));
    const { folder = "" } = readMetadata(document) ?? {};
    return { activeLayer: readDisk(document), folder, pendingRemovals: await removableLayers(folder) };
  };
  /** The file that the guest writes for a disk: the system disk, or the further one of that name. */
  const fileOf = async ({ id }: Pick<Instance, "id">, disk: string | undefined): Promise<string> => {
    const domain = await connection.lookupDomainByUuid(id);
    const document = await parse(await domain.getXml(DomainXmlFlags.INACTIVE));
    return disk === undefined ? readDisk(document) : readDiskAt(document, disk);
  };
  /** A command to QEMU's own tool, on a disk that the guest has open. */
  const inside = async ({ id }: Pick<Instance, "id">, disk: string | undefined, command: string) => {
    const domain = await connection.lookupDomainByUuid(id);
    const device = aliasOf(await parse(await domain.getXml()), disk ?? "vda");
    const call = `qemu-io -d /machine/peripheral/${device}/virtio-backend "${command}"`;
    const uri = settings.uri ?? "qemu:///system";
    const { stdout } = await execa("virsh", ["-c", uri, "qemu-monitor-command", "--hmp", id, call]);
    if (/error|fail/i.test(stdout)) {
      throw new Error(`${command}: ${stdout}`);
    }
  };
  const variablesOf = async ({ id }: Pick<Instance, "id">) => {
    const domain = await connection.lookupDomainByUuid(id);
    const variables = readVariables(await parse(await domain.getXml(DomainXmlFlags.INACTIVE)));
    return variables?.at === "file" ? variables.path : "/nonexistent/variables";
  };
  return {
    plugin: fileURLToPath(new URL("../../../plugins/libvirt/index.ts", import.meta.url)),
    options: { settings, dataFolder: folder },
    engine,
    folder,
    connection,
    layers,
    image: { path, format: "qcow2", sha256, virtualSize: 1024n ** 2n },
    async write(instance, value, disk) {
      const file = await fileOf(instance, disk);
      await execa("qemu-io", ["-f", formatOf(file), "-c", writing(value), file]);
    },
    async writeRunning(instance, value, disk) {
      await inside(instance, disk, writing(value));
      // A power cut leaves what QEMU has passed on.
      await inside(instance, disk, "flush");
    },
    // Nothing boots from an empty image.
    stopAgent: async () => {},
    async read(instance, disk) {
      const file = await fileOf(instance, disk);
      const raw = join(folder, `${instance.id}.raw`);
      await execa("qemu-img", ["convert", "-f", formatOf(file), "-O", "raw", file, raw]);
      const hash = createHash("sha256")
        .update(await readFile(raw))
        .digest("hex");
      await rm(raw);
      return hash;
    },
    writeFirmware: async (instance, mark) => writeFile(await variablesOf(instance), mark, { mode: 0o600 }),
    readFirmware: async (instance) => readFile(await variablesOf(instance), "utf8").catch(() => ""),
    foreign: ({ disks } = {}) => foreignDomain(connection, folder, disks === undefined ? {} : { disks }),
    audit: (instance) => audit(connection, instance, layers),
    async [Symbol.asyncDispose]() {
      await engine[Symbol.asyncDispose]();
      await connection.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A foreign domain's own disks say so by their names. */
function formatOf(file: string): string {
  return file.endsWith(".raw") ? "raw" : "qcow2";
}

/** Eight places, so that layers overlap in some and not in others; across a cluster's edge. */
function writing(value: number): string {
  const offset = (value % 8) * 1024 * 1024 + 60 * 1024;
  return `write -P ${value} ${offset} 8k`;
}

/** QEMU's name of the device that a running guest has as that disk. */
function aliasOf(domain: Element, target: string): string {
  const alias = find(findDisk(domain, target), "alias")?.attributes.name;
  if (alias === undefined) {
    throw new Error(`there is no disk ${target}`);
  }
  return alias;
}

/** The layers that strata has let go and that nothing stands on. */
async function removableLayers(folder: string): Promise<string[]> {
  const files = await readdir(folder).catch((): string[] => []);
  const headers = await Promise.all(files.map((file) => readHeader(join(folder, file)).catch(() => null)));
  const below = new Set(headers.map((header) => header?.backing));
  return [...readPendingRemovals(folder).keys()].filter((path) => !below.has(path));
}

/** The files that libvirt's own tools would restore. */
async function recordedFiles(domain: Domain): Promise<string[]> {
  const files: string[] = [];
  for (const snapshot of await domain.listSnapshots()) {
    const recorded = find(await parse(await snapshot.getXml()), "domain");
    files.push(...(recorded === undefined ? [] : activeLayers(recorded)));
  }
  return files;
}

/**
 * Throws unless every layer is sound and referenced, every flattened copy has its layer's contents, and no build
 * has left anything.
 */
async function audit(
  connection: Connection,
  instance: Instance,
  layers: LibvirtFixture["layers"],
): Promise<void> {
  const { activeLayer, folder, pendingRemovals } = await layers(instance);
  const paths = (await readdir(folder)).map((file) => join(folder, file));
  const files = paths.filter((path) => isLayerPath(folder, path));
  const flattened = paths.filter((path) => isFlattenedPath(folder, path));
  const partial = paths.find((path) => isPartialPath(folder, path));
  if (partial !== undefined) {
    throw new Error(`${partial} is what a build that died has left`);
  }
  const domain = await connection.lookupDomainByUuid(instance.id);
  const definition = await parse(await domain.getXml(DomainXmlFlags.INACTIVE));
  const used = new Set([activeLayer, ...activeLayers(definition), ...pendingRemovals]);
  for (const file of await recordedFiles(domain)) {
    used.add(file);
  }
  for (const file of [...files, ...flattened]) {
    const { backing } = await readHeader(file);
    if (backing === null) {
      continue;
    }
    used.add(backing);
    used.add(layerOf(folder, backing));
  }
  for (const path of flattened) {
    const layer = layerOf(folder, path);
    if (files.includes(layer)) {
      await execa("qemu-img", ["compare", "-q", "-U", "-f", "qcow2", "-F", "qcow2", path, layer]);
    } else if (!used.has(path)) {
      throw new Error(`${path} stands in for a layer that is gone`);
    }
  }
  const stray = files.filter((file) => !used.has(file));
  if (stray.length > 0) {
    throw new Error(`nothing refers to ${stray.join(", ")}`);
  }
  // What a guest is writing need not be whole at this moment.
  const written = (await domain.isActive()) ? activeLayers(await parse(await domain.getXml())) : [];
  const still = [...files, ...flattened].filter((file) => !written.includes(file));
  await Promise.all(still.map((file) => execa("qemu-img", ["check", "-q", "-U", "-f", "qcow2", file])));
}

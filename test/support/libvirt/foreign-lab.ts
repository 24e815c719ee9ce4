import { createHash } from "node:crypto";
import { chmod, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { elements, find, parse, text } from "../../../plugins/libvirt/xml/document.ts";
import { virsh } from "./virsh.ts";

/** A disk as a definition has it. */
export interface LabDisk {
  readonly target: string;
  readonly path: string;
  readonly format: string;
}

/**
 * A folder in which domains are made as other tools make them, with a storage pool and loop devices. Everything is
 * taken away at the end.
 */
export class ForeignLab implements AsyncDisposable {
  readonly folder: string;
  readonly pool = `strata-test-pool-${process.pid}`;
  readonly #names = new Set<string>();
  readonly #devices: string[] = [];
  /** Digests of the files that overlays were made on. */
  readonly #owners = new Map<string, string>();
  #made = 0;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async open(folder: string): Promise<ForeignLab> {
    const lab = new ForeignLab(folder);
    // QEMU runs as another user.
    await chmod(folder, 0o711);
    await virsh("pool-define-as", lab.pool, "dir", "--target", folder);
    await virsh("pool-start", lab.pool);
    return lab;
  }

  /** A path in the folder that no other call returns. */
  path(name = "disk"): string {
    this.#made += 1;
    return join(this.folder, `${this.#made}-${name}`);
  }

  /** A disk image with something on it. */
  async image(format = "qcow2", o: { readonly name?: string; readonly args?: readonly string[] } = {}) {
    const file = this.path(o.name ?? `disk.${format}`);
    await execa("qemu-img", ["create", "-q", "-f", format, ...(o.args ?? []), file, "16M"]);
    await execa("qemu-io", ["-f", format, "-c", "write -P 200 1M 64k", file]);
    return file;
  }

  /** An overlay on a file of its owner's, which must stay as it is, with something more on it. */
  async overlay(backing: string, format: string): Promise<string> {
    this.#owners.set(backing, await digestOf(backing));
    const file = this.path("overlay.qcow2");
    await execa("qemu-img", ["create", "-q", "-f", "qcow2", "-b", backing, "-F", format, file]);
    await execa("qemu-io", ["-f", "qcow2", "-c", "write -P 201 3M 64k", file]);
    return file;
  }

  /** Rejects if something has written what only disks stand on. */
  async requireUntouched(): Promise<void> {
    for (const [file, digest] of this.#owners) {
      if ((await digestOf(file)) !== digest) {
        throw new Error(`${file} is its owner's, and has changed`);
      }
    }
  }

  /** A block device: what LVM has, as far as QEMU is concerned. */
  async device(): Promise<string> {
    const { stdout } = await execa("losetup", ["--find", "--show", await this.image("raw")]);
    this.#devices.push(stdout);
    return stdout;
  }

  /** A volume of the pool, by its name. */
  async volume(file: string): Promise<string> {
    await virsh("pool-refresh", this.pool);
    return file.slice(this.folder.length + 1);
  }

  /** Defines a domain. Resolves to its name. */
  async define(xml: string): Promise<string> {
    const file = this.path("domain.xml");
    await writeFile(file, xml);
    await virsh("define", file);
    // libvirt sorts the devices of what it has written itself.
    const name = text(find(await parse(xml), "name"));
    await writeFile(file, await virsh("dumpxml", "--inactive", name));
    await virsh("define", file);
    this.#names.add(name);
    return name;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.#names) {
      await execa("virsh", ["undefine", name, "--snapshots-metadata", "--keep-nvram"], { reject: false });
    }
    await execa("virsh", ["pool-destroy", this.pool], { reject: false });
    await execa("virsh", ["pool-undefine", this.pool], { reject: false });
    for (const device of this.#devices) {
      await execa("losetup", ["--detach", device], { reject: false });
    }
  }
}

/** What a `<source>` names. */
export type DiskSource =
  | { readonly file: string }
  | { readonly dev: string }
  | { readonly pool: string; readonly volume: string };

/** A disk as other tools define it. "" for no format, `further` for elements after its target. */
export function diskXml(source: DiskSource, target: string, format = "qcow2", further = ""): string {
  const other = "dev" in source ? "block" : "volume";
  const type = "file" in source ? "file" : other;
  const attributes = Object.entries(source).map(([name, value]) => `${name}='${value}'`);
  const driver = format === "" ? "" : `<driver name='qemu' type='${format}'/>`;
  return `<disk type='${type}' device='disk'>${driver}<source ${attributes.join(" ")}/><target dev='${target}' bus='${target.startsWith("sd") ? "sata" : "virtio"}'/>${further}</disk>`;
}

/** A domain with these devices. */
export function domainXml(name: string, devices: string, o: { os?: string; top?: string } = {}): string {
  return `<domain type='qemu' ${o.top?.includes("qemu:") === true ? "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'" : ""}>
    <name>${name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
    <os><type arch='x86_64' machine='q35'>hvm</type>${o.os ?? ""}</os><features><acpi/></features>
    <devices>${devices}</devices>${o.top ?? ""}</domain>`;
}

/** A definition without strata's metadata. */
export async function definitionOf(name: string): Promise<string> {
  const xml = await virsh("dumpxml", "--inactive", name);
  return xml.replace(/\s*<metadata(?:\/>|>[\s\S]*<\/metadata>)/, "");
}

/** The disks that a guest may write, as the definition has them now. */
export async function labDisks(name: string): Promise<LabDisk[]> {
  const document = await parse(await virsh("dumpxml", "--inactive", name));
  const found: LabDisk[] = [];
  for (const disk of elements(find(document, "devices"), "disk")) {
    const { file, dev, pool, volume } = find(disk, "source")?.attributes ?? {};
    const written = (disk.attributes.device ?? "disk") === "disk" && find(disk, "readonly") === undefined;
    if (written && disk.attributes.type !== "network") {
      const path =
        volume === undefined ? (file ?? dev) : await virsh("vol-path", "--pool", `${pool}`, volume);
      const format = find(disk, "driver")?.attributes.type ?? "raw";
      found.push({ target: `${find(disk, "target")?.attributes.dev}`, path: `${path}`, format });
    }
  }
  return found;
}

/** Writes a mark on every disk as its guest would, another one on each. Not where the first disk has a header. */
export async function writeAll(name: string, mark: number, left: readonly string[] = []): Promise<void> {
  const disks = (await labDisks(name)).filter(({ target }) => !left.includes(target));
  for (const [at, { path, format }] of disks.entries()) {
    await execa("qemu-io", [
      "-f",
      format,
      "-c",
      `write -P ${mark * 8 + at} ${4096 + mark * 192 + 60}k 8k`,
      path,
    ]);
  }
}

/** Digests of what a guest sees on each disk, by target. */
export async function readAll(name: string, scratch: string): Promise<Record<string, string>> {
  const digests: Record<string, string> = {};
  for (const { target, path, format } of await labDisks(name)) {
    const raw = join(scratch, "contents.raw");
    await execa("qemu-img", ["convert", "-f", format, "-O", "raw", path, raw]);
    digests[target] = await digestOf(raw);
    await rm(raw);
  }
  return digests;
}

/** Digest of a file's bytes. */
export async function digestOf(path: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
}

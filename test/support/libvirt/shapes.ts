import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { diskXml, domainXml, type ForeignLab } from "./foreign-lab.ts";
import { refusedShapes } from "./refused-shapes.ts";

/** A domain as another tool makes it. */
export interface Shape {
  /** What it is, as the table in the documentation says it. */
  readonly title: string;
  /** Defines it under that name. */
  make(lab: ForeignLab, name: string): Promise<string>;
  /** Part of its name, after the test's own. */
  readonly suffix?: string;
  /** Disks that it is adopted without. */
  readonly exclude?: readonly string[];
  /** Targets that snapshots leave out, asked for or by the definition. */
  readonly left?: readonly string[];
  /** What the refusal says, for one that is not adopted: all of it. */
  readonly refused?: readonly RegExp[];
  /** A firmware file, whose contents count as well. */
  variables?(lab: ForeignLab, name: string): string;
  /** The name that it is adopted under, if that is another one. */
  readonly adoptAs?: string;
}

const CDROM = (file: string) =>
  `<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='${file}' startupPolicy='optional'/><target dev='sda' bus='sata'/><readonly/></disk>`;

async function iso(lab: ForeignLab): Promise<string> {
  const file = lab.path("medium.iso");
  await execa("truncate", ["--size", "1M", file]);
  return file;
}

/** A shape with one qcow2 disk, which differs in its definition only. */
function plain(
  title: string,
  change: (xml: string) => string,
  more: Partial<Pick<Shape, "suffix" | "adoptAs">> = {},
): Shape {
  return {
    title,
    make: async (lab, name) =>
      lab.define(change(domainXml(name, diskXml({ file: await lab.image() }, "vda")))),
    ...more,
  };
}

/** A shape with these disks. */
function disks(title: string, make: (lab: ForeignLab) => Promise<string>, more: Partial<Shape> = {}): Shape {
  return { title, make: async (lab, name) => lab.define(domainXml(name, await make(lab))), ...more };
}

/** A qcow2 disk whose image has these options. */
const image = (title: string, args: readonly string[], name?: string) =>
  disks(title, async (lab) => {
    const file = await lab.image("qcow2", name === undefined ? { args } : { args, name });
    return diskXml({ file: file.replace(/&/g, "&amp;") }, "vda");
  });

const VARIABLES = (lab: ForeignLab, name: string) => join(lab.folder, `${name}_VARS.fd`);

/** The domains of the tools that people use, and some that are hard. */
export const SHAPES: readonly Shape[] = [
  disks(
    "virt-install: one disk, the installer in the CD drive, a name with dots",
    async (lab) => `${diskXml({ file: await lab.image() }, "vda")}${CDROM(await iso(lab))}`,
    { suffix: ".example.com" },
  ),
  disks("Vagrant: an overlay on the image of a box", async (lab) =>
    diskXml({ file: await lab.overlay(await lab.image(), "qcow2") }, "vda"),
  ),
  disks("Terraform: a volume, and cloud-init in the CD drive", async (lab) => {
    const volume = await lab.volume(await lab.image());
    return `${diskXml({ pool: lab.pool, volume }, "vda")}${CDROM(await iso(lab))}`;
  }),
  disks("Terraform: a volume on a backing volume", async (lab) => {
    const volume = await lab.volume(await lab.overlay(await lab.image(), "qcow2"));
    return diskXml({ pool: lab.pool, volume }, "vda");
  }),
  {
    title: "Ignition: a file passed on QEMU's command line",
    async make(lab, name) {
      const file = lab.path("config.ign");
      await writeFile(file, '{"ignition":{"version":"3.3.0"}}');
      const line = `<qemu:commandline><qemu:arg value='-fw_cfg'/><qemu:arg value='name=opt/com.coreos/config,file=${file}'/></qemu:commandline>`;
      return lab.define(domainXml(name, diskXml({ file: await lab.image() }, "vda"), { top: line }));
    },
  },
  disks(
    "two qcow2 disks",
    async (lab) =>
      `${diskXml({ file: await lab.image() }, "vda")}${diskXml({ file: await lab.image() }, "vdb")}`,
  ),
  disks("a raw file", async (lab) => diskXml({ file: await lab.image("raw") }, "vda", "raw")),
  disks("a disk without `<driver>`, which libvirt takes for raw", async (lab) =>
    diskXml({ file: await lab.image("raw") }, "sda", ""),
  ),
  plain("fewer CPUs than its topology has", (xml) =>
    xml.replace(
      "<vcpu>1</vcpu>",
      "<vcpu current='2'>6</vcpu><cpu mode='maximum'><topology sockets='1' cores='3' threads='2'/></cpu>",
    ),
  ),
  plain("a balloon: less memory than its maximum", (xml) =>
    xml.replace("<vcpu>", "<currentMemory unit='MiB'>32</currentMemory><vcpu>"),
  ),
  plain("two NUMA nodes", (xml) =>
    xml.replace(
      "<vcpu>1</vcpu>",
      "<vcpu>2</vcpu><cpu mode='maximum'><numa><cell id='0' cpus='0' memory='32' unit='MiB'/><cell id='1' cpus='1' memory='32' unit='MiB'/></numa></cpu>",
    ),
  ),
  disks("LVM: a block device", async (lab) => diskXml({ dev: await lab.device() }, "vda", "raw")),
  plain("a name with a space, adopted under another", (xml) => xml, {
    suffix: " Windows 11",
    adoptAs: "win11",
  }),
  plain("a name with an umlaut", (xml) => xml, { suffix: "-büro" }),
  image("a file whose name has a comma", [], "a,b.qcow2"),
  image("a file whose name has spaces, quotes, a colon and an ampersand", [], `it is "a:b" & c.qcow2`),
  image("qcow2 of version 2", ["-o", "compat=0.10"]),
  image("qcow2 with subclusters", ["-o", "extended_l2=on,cluster_size=128k"]),
  image("qcow2 with clusters of 2 MiB and lazy refcounts", ["-o", "cluster_size=2M,lazy_refcounts=on"]),
  plain("a PCI device of the host", (xml) =>
    xml.replace(
      "</devices>",
      "<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></source></hostdev></devices>",
    ),
  ),
  disks("a folder that is a symbolic link", async (lab) => {
    const link = lab.path("link");
    await execa("ln", ["-s", lab.folder, link]);
    return diskXml({ file: join(link, (await lab.image()).slice(lab.folder.length + 1)) }, "vda");
  }),
  disks(
    "a disk that its definition leaves out of snapshots",
    async (lab) =>
      `${diskXml({ file: await lab.image() }, "vda")}${diskXml({ file: await lab.image() }, "vdb").replace("<disk ", "<disk snapshot='no' ")}`,
    { left: ["vdb"] },
  ),
  // Our own.
  disks("three disks of three kinds: qcow2, raw, a block device", async (lab) => {
    const [a, b, c] = [await lab.image(), await lab.image("raw"), await lab.device()];
    return `${diskXml({ file: a }, "vda")}${diskXml({ file: b }, "vdb", "raw")}${diskXml({ dev: c }, "vdc", "raw")}`;
  }),
  disks("an overlay on an overlay on a raw file", async (lab) => {
    const below = await lab.overlay(await lab.image("raw"), "raw");
    return diskXml({ file: await lab.overlay(below, "qcow2") }, "vda");
  }),
  disks("two disks on one image", async (lab) => {
    const box = await lab.image();
    const [a, b] = [await lab.overlay(box, "qcow2"), await lab.overlay(box, "qcow2")];
    return `${diskXml({ file: a }, "vda")}${diskXml({ file: b }, "vdb")}`;
  }),
  disks(
    "a disk that several domains share beside its own",
    async (lab) =>
      `${diskXml({ file: await lab.image() }, "vda")}${diskXml({ file: await lab.image("raw") }, "vdb", "raw", "<shareable/>")}`,
    { left: ["vdb"] },
  ),
  disks(
    "a read-only disk beside its own",
    async (lab) =>
      `${diskXml({ file: await lab.image() }, "vda")}${diskXml({ file: await lab.image("raw") }, "vdb", "raw", "<readonly/>")}`,
  ),
  disks(
    "a disk on the network beside its own, adopted without it",
    async (lab) =>
      `${diskXml({ file: await lab.image() }, "vda")}<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='pool/vol'><host name='192.0.2.5' port='6789'/></source><target dev='vdb' bus='virtio'/></disk>`,
    { exclude: ["vdb"], left: ["vdb"] },
  ),
  disks(
    "its first disk left out, so that the second is the system disk",
    async (lab) =>
      `${diskXml({ file: await lab.image() }, "vda")}${diskXml({ file: await lab.image() }, "vdb")}`,
    { exclude: ["vda"], left: ["vda"] },
  ),
  disks("a raw disk in which its guest has written a qcow2 header", async (lab) => {
    const [secret, file] = [lab.path("secret"), lab.path("disk.raw")];
    await writeFile(secret, "the host's own".padEnd(65536, "."));
    await execa("qemu-img", ["create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", file, "64k"]);
    await execa("truncate", ["--size", "16M", file]);
    return diskXml({ file }, "vda", "raw");
  }),
  disks("a raw file whose size is no multiple of 512", async (lab) => {
    const file = await lab.image("raw");
    await execa("truncate", ["--size", "+100", file]);
    return diskXml({ file }, "vda", "raw");
  }),
  {
    title: "UEFI with variables, SATA disks and an empty floppy drive",
    variables: VARIABLES,
    async make(lab, name) {
      await writeFile(VARIABLES(lab, name), "variables as they were", { mode: 0o600 });
      const os = `<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader><nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>${VARIABLES(lab, name)}</nvram>`;
      const floppy = "<disk type='file' device='floppy'><target dev='fda' bus='fdc'/></disk>";
      const own = `${diskXml({ file: await lab.image() }, "sda")}${diskXml({ file: await lab.image("raw") }, "sdb", "raw")}`;
      return lab.define(domainXml(name, `${own}${floppy}`, { os }));
    },
  },
  ...refusedShapes(disks),
];

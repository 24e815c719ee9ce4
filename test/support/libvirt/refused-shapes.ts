import { readFile, writeFile } from "node:fs/promises";
import { execa } from "execa";
import { diskXml, domainXml, type ForeignLab } from "./foreign-lab.ts";
import type { Shape } from "./shapes.ts";
import { virsh } from "./virsh.ts";

type Make = (title: string, make: (lab: ForeignLab) => Promise<string>, more?: Partial<Shape>) => Shape;

/** What cannot be adopted, with the reasons that are given. */
export function refusedShapes(disks: Make): Shape[] {
  const network = (protocol: string, source: string) =>
    disks(
      `a disk on the network: ${protocol}`,
      async () =>
        `<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='${protocol}' ${source}</source><target dev='vda' bus='virtio'/></disk>`,
      {
        refused: [
          new RegExp(`its disk vda is on the network \\(${protocol}\\): copy it .* qemu-img convert`),
        ],
      },
    );
  return [
    network("rbd", "name='pool/vol'><host name='192.0.2.5' port='6789'/>"),
    network("nbd", "name='export'><host name='192.0.2.5' port='10809'/>"),
    network("iscsi", "name='iqn.2013-07.com.example:target/1'><host name='192.0.2.5' port='3260'/>"),
    network("https", "name='disk.raw'><host name='192.0.2.5' port='443'/>"),
    disks(
      "a LUN that is passed through",
      async (lab) =>
        diskXml({ dev: await lab.device() }, "sda", "raw")
          .replace("device='disk'", "device='lun'")
          .replace("bus='sata'", "bus='scsi'"),
      { refused: [/its disk sda is a LUN that is passed through to the guest: make it device='disk'/] },
    ),
    disks(
      "an NVMe device that QEMU drives",
      async () =>
        "<disk type='nvme' device='disk'><driver name='qemu' type='raw'/><source type='pci' managed='yes' namespace='1'><address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></source><target dev='vda' bus='virtio'/></disk>",
      { refused: [/its disk vda is an NVMe device that QEMU drives itself/] },
    ),
    {
      title: "a vhost-user disk",
      make: async (lab, name) => {
        const disk =
          "<disk type='vhostuser' device='disk'><driver name='qemu' type='raw'/><source type='unix' path='/run/vhost.sock'/><target dev='vda' bus='virtio'/></disk>";
        const top = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>";
        return lab.define(domainXml(name, disk, { top }));
      },
      refused: [/its disk vda belongs to a vhost-user process/],
    },
    {
      title: "a disk on QEMU's command line alone",
      make: async (lab, name) => {
        const drive = `<qemu:arg value='-drive'/><qemu:arg value='file=${await lab.image("raw")},format=raw,if=none,id=d'/>`;
        const top = `<qemu:commandline>${drive}</qemu:commandline>`;
        return lab.define(domainXml(name, diskXml({ file: await lab.image() }, "vda"), { top }));
      },
      refused: [/its <qemu:commandline> gives it a disk that libvirt does not know: make that a <disk>/],
    },
    {
      title: "checkpoints, as backup tools leave them",
      make: async (lab, name) => {
        const defined = await lab.define(domainXml(name, diskXml({ file: await lab.image() }, "vda")));
        const file = lab.path("checkpoint.xml");
        const disk = "<disks><disk name='vda' checkpoint='bitmap' bitmap='backup'/></disks>";
        const domain = await virsh("dumpxml", "--inactive", name);
        await writeFile(
          file,
          `<domaincheckpoint><name>backup</name><creationTime>1</creationTime>${disk}${domain}</domaincheckpoint>`,
        );
        await virsh("checkpoint-create", name, file, "--redefine");
        return defined;
      },
      refused: [/it has checkpoints, beside which libvirt takes no snapshots: `virsh checkpoint-delete/],
    },
    disks(
      "a floppy that the guest may write",
      async (lab) =>
        `${diskXml({ file: await lab.image() }, "vda")}<disk type='file' device='floppy'><driver name='qemu' type='raw'/><source file='${await lab.image("raw")}'/><target dev='fda' bus='fdc'/></disk>`,
      { refused: [/its disk fda is a floppy that the guest may write: take it out, or put <readonly\/>/] },
    ),
    disks(
      "encrypted qcow2, with `<encryption>`",
      async (lab) => diskXml({ file: await luks(lab) }, "vda", "qcow2", SECRET),
      {
        refused: [/its disk vda is encrypted, and strata does not have the key/],
      },
    ),
    disks(
      "encrypted qcow2, without `<encryption>`",
      async (lab) => diskXml({ file: await luks(lab) }, "vda"),
      {
        refused: [/its disk vda is encrypted, and strata does not have the key/],
      },
    ),
    disks(
      "qcow2 with its data in another file",
      async (lab) => {
        const args = ["-o", `data_file=${lab.path("data.raw")},data_file_raw=on`];
        return diskXml({ file: await lab.image("qcow2", { args }) }, "vda");
      },
      { refused: [/its disk vda keeps its data in another file, .*: `qemu-img convert -f qcow2 -O qcow2/] },
    ),
    disks(
      "snapshots inside the image",
      async (lab) => {
        const file = await lab.image();
        await execa("qemu-img", ["snapshot", "-c", "inside", file]);
        return diskXml({ file }, "vda");
      },
      { refused: [/its disk vda contains 1 of QEMU's own snapshots: delete them/] },
    ),
    disks(
      "an overlay that does not say what format its image has",
      async (lab) => {
        const file = await lab.overlay(await lab.image(), "qcow2");
        const bytes = await readFile(file);
        // The extension that has the format; QEMU skips one that it does not know.
        bytes.writeUInt32BE(0x12345678, bytes.indexOf("e2792aca", 0, "hex"));
        await writeFile(file, bytes);
        return diskXml({ file }, "vda");
      },
      { refused: [/stands on .*, and does not say in which format: `qemu-img rebase -u -f qcow2 -b/] },
    ),
    disks(
      "a disk that stands on another disk of the same domain",
      async (lab) => {
        const below = await lab.image();
        const above = await lab.overlay(below, "qcow2");
        return `${diskXml({ file: below }, "vda")}${diskXml({ file: above }, "vdb")}`;
      },
      { refused: [/its disk vda is also used by its disk vdb; give that a disk of its own/] },
    ),
    disks(
      "its only disk left out of snapshots",
      async (lab) => diskXml({ file: await lab.image() }, "vda").replace("<disk ", "<disk snapshot='no' "),
      { refused: [/snapshots would leave out all of its disks, vda: take snapshot='no'/] },
    ),
    disks(
      "a vmdk file, which is transient, beside a raw slice",
      async (lab) =>
        `${diskXml({ file: await lab.image("vmdk") }, "vda", "vmdk", "<transient/>")}${diskXml(
          { file: await lab.image("raw") },
          "vdb",
          "raw",
        )
          .replace("<target", "")
          .replace(
            "/> dev=",
            "><slices><slice type='storage' offset='0' size='1048576'/></slices></source><target dev=",
          )}`,
      {
        refused: [
          /its disk vda must be qcow2 or raw, and is vmdk/,
          /its disk vda is transient/,
          /its disk vdb has <slices> in its <source>/,
        ],
      },
    ),
  ];
}

const SECRET =
  "<encryption format='luks'><secret type='passphrase' uuid='0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f'/></encryption>";

/** An image whose header says that it is encrypted: making a true one measures the host's speed, and may fail. */
async function luks(lab: ForeignLab): Promise<string> {
  const file = await lab.image();
  const bytes = await readFile(file);
  bytes.writeUInt32BE(LUKS, CRYPT_METHOD);
  await writeFile(file, bytes);
  return file;
}

/** The place in a qcow2 header, and what stands there. */
const [CRYPT_METHOD, LUKS] = [32, 2];

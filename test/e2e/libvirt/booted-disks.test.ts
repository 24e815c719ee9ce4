import { chmod, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { ownFolder } from "../../support/leftovers.ts";
import { diskXml } from "../../support/libvirt/foreign-lab.ts";
import { virsh } from "../../support/libvirt/virsh.ts";
import { done, guestImage, strata } from "../../support/program.ts";

const NAME = `strata-test-booted-${process.pid}`;

/** A guest that boots from one disk and writes three more: two of strata's, and a raw file that virsh has attached. */
describe("a guest with several disks", () => {
  let folder: string;
  let raw: string;
  before(async () => {
    await guestImage();
    folder = await ownFolder("test");
    await chmod(folder, 0o711);
    raw = join(folder, "attached.raw");
    await execa("qemu-img", ["create", "-q", "-f", "raw", raw, "32M"]);
    const size = [
      "--cpus",
      "1",
      "--memory",
      "400M",
      "--disk",
      "3G",
      "--extra-disk",
      "64M",
      "--extra-disk",
      "64M",
    ];
    await done(["launch", "debian-micro", "--name", NAME, ...size, "--timeout", "900"]);
  });
  after(async () => {
    await strata(["delete", "--purge", NAME]);
    await rm(folder, { recursive: true, force: true });
  });

  const inside = (script: string) =>
    done(["exec", "--timeout", "900", NAME, "--", "sudo", "sh", "-c", script]);
  /** Has the guest write the same word on all of its disks. */
  const write = (word: string, devices: readonly string[]) =>
    inside(
      `echo ${word} > /root/word; for d in ${devices.join(" ")}; do echo ${word} | dd of=/dev/$d bs=512 seek=2048 conv=sync,fsync status=none; done; sync`,
    );
  const read = (devices: readonly string[]) =>
    inside(
      `cat /root/word; for d in ${devices.join(" ")}; do dd if=/dev/$d bs=512 skip=2048 count=1 status=none | tr -d '\\0'; done`,
    );

  it("finds each of them as it was at the snapshot", async () => {
    const ours = ["vdc", "vdd"];
    await write("one", ours);
    await done(["stop", NAME]);
    await done(["snapshot", NAME, "--name", "one"]);
    const device = join(folder, "device.xml");
    await writeFile(device, diskXml({ file: raw }, "vde", "raw"));
    await virsh("attach-device", NAME, device, "--config");
    const all = [...ours, "vde"];
    await write("two", all);
    await done(["stop", NAME]);
    await done(["snapshot", NAME, "--name", "two"]);
    const frozen = await readFile(raw);
    expect(frozen.subarray(2048 * 512, 2048 * 512 + 4).toString()).to.equal("two\n");
    await write("three", all);
    await done(["stop", NAME]);
    await done(["restore", "--destructive", `${NAME}.two`]);
    expect(await read(all)).to.equal("two\n".repeat(4));
    expect((await readFile(raw)).equals(frozen), "the file that the snapshot froze").to.equal(true);
    await done(["stop", NAME]);
    await done(["restore", "--destructive", `${NAME}.one`]);
    expect(await read(ours)).to.equal("one\n".repeat(3));
    expect((await inside("ls /dev/vd?")).trim().split(/\s+/)).not.to.contain("/dev/vde");
  });
});

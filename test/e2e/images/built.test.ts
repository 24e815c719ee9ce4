import { createHash, randomUUID } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { makeContainerRoot } from "../../../lib/images/debian/root-folder.ts";
import { becomeRoot } from "../../../lib/images/debian/superuser.ts";
import { type ImageRoom, imageRoom } from "../../support/images/images.ts";
import { guestImage } from "../../support/program.ts";

describe("a built image", () => {
  let room: ImageRoom;
  before(async () => {
    room = await imageRoom();
  });
  after(() => room[Symbol.asyncDispose]());

  /** Names in a folder of the image's file system, which is looked at from outside. */
  async function names(disk: string, folder: string): Promise<string[]> {
    const { stdout: table } = await execa("sfdisk", ["--json", disk]);
    const [{ start }] = JSON.parse(table).partitiontable.partitions;
    const { stdout } = await execa("debugfs", ["-R", `ls -p ${folder}`, `${disk}?offset=${start * 512}`]);
    return stdout.split("\n").map((line) => line.split("/")[5] ?? "");
  }

  it("comes from repositories that apt can verify: nothing is taken from another", async () => {
    const repository = room.path("repository");
    await mkdir(repository);
    const packages = "Package: evil\nVersion: 1\nArchitecture: all\nFilename: ./evil.deb\nSize: 0\n";
    await writeFile(join(repository, "Packages"), packages);
    const hash = createHash("sha256").update(packages).digest("hex");
    const date = new Date().toUTCString();
    const release = `Date: ${date}\nSuite: bookworm\nSHA256:\n ${hash} ${packages.length} Packages\n`;
    await writeFile(join(repository, "Release"), release);
    const { signal } = new AbortController();
    const build = async (source: string) => {
      const list = room.path("sources.list");
      await writeFile(list, source);
      const root = room.path(randomUUID());
      const asRoot = await becomeRoot(signal);
      const options = { root, work: room.path("."), suite: "bookworm", sources: [list], asRoot, signal };
      return makeContainerRoot(options).then(
        () => "built",
        (error: unknown) => (error instanceof Error ? error.message : String(error)),
      );
    };
    expect(
      await build(`deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] copy:${repository} ./\n`),
    ).to.match(/not signed/i);
    // With that check out of the way, apt reads it: it was the signature that was missed.
    expect(await build(`deb [trusted=yes] copy:${repository} ./\n`)).not.to.match(/not signed/i);
  });

  it("has GRUB where UEFI looks for it, and a root behind that can grow", async () => {
    const { path } = await guestImage();
    const disk = room.path("uefi");
    await execa("qemu-img", ["convert", "-O", "raw", path, disk]);
    const { partitions } = JSON.parse((await execa("sfdisk", ["--json", disk])).stdout).partitiontable;
    const [root, efi] = partitions;
    expect([partitions.length, root.type, efi.type, root.start > efi.start]).to.deep.equal([
      2,
      "83",
      "ef",
      true,
    ]);
    const { stdout } = await execa("mdir", ["-b", "-/", "-i", `${disk}@@${efi.start * 512}`]);
    expect(stdout.split("\n")).to.include("::/EFI/BOOT/BOOTX64.EFI");
  });

  it("has no ssh host keys and no machine id: each guest makes its own", async () => {
    const { path } = await guestImage();
    await execa("qemu-img", ["convert", "-O", "raw", path, room.path("disk")]);
    expect(await names(room.path("disk"), "/etc")).to.include.members(["passwd", "ssh"]);
    const keys = [
      ...(await names(room.path("disk"), "/etc/dropbear")),
      ...(await names(room.path("disk"), "/etc/ssh")),
    ];
    expect(keys.filter((name) => /host_?key/i.test(name))).to.deep.equal([]);
  });
});

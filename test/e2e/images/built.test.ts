import { expect } from "chai";
import { execa } from "execa";
import { type ImageRoom, imageRoom } from "../../support/images.ts";
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

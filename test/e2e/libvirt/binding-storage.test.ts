import { createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { type Connection, type StoragePool, StoragePoolState } from "../../../plugins/libvirt/rpc/index.ts";
import { type BindingRoom, bindingRoom, NAME, refusalOf } from "../../support/libvirt/binding-room.ts";

describe("the binding of storage pools and volumes", () => {
  let room: BindingRoom;
  let connection: Connection;
  let folder: string;
  before(async () => {
    room = await bindingRoom();
    ({ connection, folder } = room);
  });
  let pool: StoragePool;
  before(async () => {
    pool = await connection.defineStoragePool(
      `<pool type='dir'><name>${NAME}</name><target><path>${join(folder, "pool")}</path></target></pool>`,
    );
    await pool.build();
    await pool.create();
  });
  after(async () => {
    await pool.destroy();
    await pool.undefine();
    await room[Symbol.asyncDispose]();
  });

  it("tells a pool's state and room", async () => {
    const info = await pool.getInfo();
    expect(info.state).to.equal(StoragePoolState.RUNNING);
    expect(info.capacity).to.equal(info.allocation + info.available);
    expect(await pool.isActive()).to.equal(true);
    expect((await connection.listStoragePools()).map(({ name }) => name)).to.include(NAME);
  });

  it("uploads and downloads a volume byte for byte, resizes, lists and deletes it", async () => {
    const content = randomBytes(3 * 1024 * 1024 + 17);
    const volume = await pool.createVolume(
      `<volume><name>v.raw</name><capacity>${content.length}</capacity><target><format type='raw'/></target></volume>`,
    );
    // In pieces that fit no packet.
    await volume.upload(
      (async function* () {
        for (let at = 0; at < content.length; at += 700_001) {
          yield content.subarray(at, at + 700_001);
        }
      })(),
    );
    expect(await readFile(await volume.getPath())).to.deep.equal(content);
    const hash = createHash("sha256");
    for await (const chunk of volume.download()) {
      hash.update(chunk);
    }
    expect(hash.digest("hex")).to.equal(createHash("sha256").update(content).digest("hex"));
    const part: Buffer[] = [];
    for await (const chunk of volume.download({ offset: 1000n, length: 50n })) {
      part.push(chunk);
    }
    expect(Buffer.concat(part)).to.deep.equal(content.subarray(1000, 1050));
    await volume.resize(4n * 1024n ** 2n);
    expect((await volume.getInfo()).capacity).to.equal(4n * 1024n ** 2n);
    expect((await pool.listVolumes()).map(({ name }) => name)).to.deep.equal(["v.raw"]);
    await volume.delete();
    expect((await refusalOf(pool.lookupVolumeByName("v.raw"))).codeName).to.equal("NO_STORAGE_VOL");
  });
});

import type { Connection, ResultOf } from "./connection.ts";
import { download, upload } from "./stream.ts";
import type { StorageVolumeHandle } from "./structures.ts";

/** A volume of a storage pool. */
export class StorageVolume {
  readonly connection: Connection;
  readonly handle: StorageVolumeHandle;

  constructor(connection: Connection, handle: StorageVolumeHandle) {
    this.connection = connection;
    this.handle = handle;
  }

  get name(): string {
    return this.handle.name;
  }

  /** Unique over pools; for a file, its path. */
  get key(): string {
    return this.handle.key;
  }

  private get vol(): { vol: StorageVolumeHandle } {
    return { vol: this.handle };
  }

  async getXml(): Promise<string> {
    return (await this.connection.call("storage_vol_get_xml_desc", { ...this.vol, flags: 0 })).xml;
  }

  async getPath(): Promise<string> {
    return (await this.connection.call("storage_vol_get_path", this.vol)).name;
  }

  /** `VolumeType`, capacity and allocation in bytes. */
  getInfo(): Promise<ResultOf<"storage_vol_get_info">> {
    return this.connection.call("storage_vol_get_info", this.vol);
  }

  async delete(): Promise<void> {
    await this.connection.call("storage_vol_delete", { ...this.vol, flags: 0 });
  }

  /** Bytes. */
  async resize(capacity: bigint, flags = 0): Promise<void> {
    await this.connection.call("storage_vol_resize", { ...this.vol, capacity, flags });
  }

  /** Writes bytes into the volume from `offset` on, over a connection of its own. */
  upload(source: AsyncIterable<Uint8Array>, range: { offset?: bigint; length?: bigint } = {}): Promise<void> {
    const args = { ...this.vol, offset: range.offset ?? 0n, length: range.length ?? 0n, flags: 0 };
    return upload(this.connection, "storage_vol_upload", args, source);
  }

  /** Reads the volume's bytes from `offset` on, over a connection of its own. */
  download(range: { offset?: bigint; length?: bigint } = {}): AsyncGenerator<Buffer, void, undefined> {
    const args = { ...this.vol, offset: range.offset ?? 0n, length: range.length ?? 0n, flags: 0 };
    return download(this.connection, "storage_vol_download", args);
  }
}

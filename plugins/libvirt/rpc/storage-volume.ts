import type { Connection } from "./connection.ts";
import type { CallLimits } from "./limits.ts";
import type { ResultOf } from "./procedures/index.ts";
import { download, upload } from "./stream.ts";
import type { StorageVolumeHandle } from "./structures.ts";

/** A part of a volume. */
export interface VolumeRange {
  /** Bytes before it; 0 by default. */
  readonly offset?: bigint;
  /** Bytes; up to the end by default. */
  readonly length?: bigint;
}

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

  async getXml(limits: CallLimits = {}): Promise<string> {
    return (await this.connection.call("storage_vol_get_xml_desc", { ...this.vol, flags: 0 }, limits)).xml;
  }

  async getPath(limits: CallLimits = {}): Promise<string> {
    return (await this.connection.call("storage_vol_get_path", this.vol, limits)).name;
  }

  /** `VolumeType`, capacity and allocation in bytes. */
  getInfo(limits: CallLimits = {}): Promise<ResultOf<"storage_vol_get_info">> {
    return this.connection.call("storage_vol_get_info", this.vol, limits);
  }

  async delete(limits: CallLimits = {}): Promise<void> {
    await this.connection.call("storage_vol_delete", { ...this.vol, flags: 0 }, limits);
  }

  /** Bytes. */
  async resize(capacity: bigint, flags = 0, limits: CallLimits = {}): Promise<void> {
    await this.connection.call("storage_vol_resize", { ...this.vol, capacity, flags }, limits);
  }

  /**
   * Writes bytes into the volume from `offset` on, over a connection of its own. The signal ends it at any
   * time, with a part written; `timeout` limits its beginning.
   */
  upload(source: AsyncIterable<Uint8Array>, range: VolumeRange = {}, limits: CallLimits = {}): Promise<void> {
    const args = { ...this.vol, offset: range.offset ?? 0n, length: range.length ?? 0n, flags: 0 };
    return upload(this.connection, "storage_vol_upload", args, source, limits);
  }

  /**
   * Reads the volume's bytes from `offset` on, over a connection of its own. The signal ends it at any time;
   * `timeout` limits its beginning.
   */
  download(range: VolumeRange = {}, limits: CallLimits = {}): AsyncGenerator<Buffer, void, undefined> {
    const args = { ...this.vol, offset: range.offset ?? 0n, length: range.length ?? 0n, flags: 0 };
    return download(this.connection, "storage_vol_download", args, limits);
  }
}

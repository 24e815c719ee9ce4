import type { Connection, ResultOf } from "./connection.ts";
import { StorageVolume } from "./storage-volume.ts";
import type { StoragePoolHandle } from "./structures.ts";

/** A storage pool. */
export class StoragePool {
  readonly connection: Connection;
  readonly handle: StoragePoolHandle;

  constructor(connection: Connection, handle: StoragePoolHandle) {
    this.connection = connection;
    this.handle = handle;
  }

  get name(): string {
    return this.handle.name;
  }

  get uuid(): string {
    return this.handle.uuid;
  }

  private get pool(): { pool: StoragePoolHandle } {
    return { pool: this.handle };
  }

  async getXml(flags = 0): Promise<string> {
    return (await this.connection.call("storage_pool_get_xml_desc", { ...this.pool, flags })).xml;
  }

  /** `StoragePoolState`; capacity, allocation and what is available in bytes. */
  getInfo(): Promise<ResultOf<"storage_pool_get_info">> {
    return this.connection.call("storage_pool_get_info", this.pool);
  }

  async isActive(): Promise<boolean> {
    return (await this.connection.call("storage_pool_is_active", this.pool)).active !== 0;
  }

  async create(flags = 0): Promise<void> {
    await this.connection.call("storage_pool_create", { ...this.pool, flags });
  }

  /** Makes what the pool stands on, such as its folder. */
  async build(flags = 0): Promise<void> {
    await this.connection.call("storage_pool_build", { ...this.pool, flags });
  }

  async destroy(): Promise<void> {
    await this.connection.call("storage_pool_destroy", this.pool);
  }

  async undefine(): Promise<void> {
    await this.connection.call("storage_pool_undefine", this.pool);
  }

  async refresh(): Promise<void> {
    await this.connection.call("storage_pool_refresh", { ...this.pool, flags: 0 });
  }

  async setAutostart(autostart: boolean): Promise<void> {
    await this.connection.call("storage_pool_set_autostart", { ...this.pool, autostart: autostart ? 1 : 0 });
  }

  async listVolumes(): Promise<StorageVolume[]> {
    const args = { ...this.pool, need_results: 1, flags: 0 };
    const { vols } = await this.connection.call("storage_pool_list_all_volumes", args);
    return vols.map((handle) => new StorageVolume(this.connection, handle));
  }

  async lookupVolumeByName(name: string): Promise<StorageVolume> {
    const { vol } = await this.connection.call("storage_vol_lookup_by_name", { ...this.pool, name });
    return new StorageVolume(this.connection, vol);
  }

  async createVolume(xml: string, flags = 0): Promise<StorageVolume> {
    const { vol } = await this.connection.call("storage_vol_create_xml", { ...this.pool, xml, flags });
    return new StorageVolume(this.connection, vol);
  }
}

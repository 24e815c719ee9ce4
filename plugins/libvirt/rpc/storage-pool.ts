import type { Connection } from "./connection.ts";
import type { CallLimits } from "./limits.ts";
import type { ResultOf } from "./procedures/index.ts";
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

  async getXml(flags = 0, limits: CallLimits = {}): Promise<string> {
    return (await this.connection.call("storage_pool_get_xml_desc", { ...this.pool, flags }, limits)).xml;
  }

  /** `StoragePoolState`; capacity, allocation and what is available in bytes. */
  getInfo(limits: CallLimits = {}): Promise<ResultOf<"storage_pool_get_info">> {
    return this.connection.call("storage_pool_get_info", this.pool, limits);
  }

  async isActive(limits: CallLimits = {}): Promise<boolean> {
    return (await this.connection.call("storage_pool_is_active", this.pool, limits)).active !== 0;
  }

  async create(flags = 0, limits: CallLimits = {}): Promise<void> {
    await this.connection.call("storage_pool_create", { ...this.pool, flags }, limits);
  }

  /** Makes what the pool stands on, such as its folder. */
  async build(flags = 0, limits: CallLimits = {}): Promise<void> {
    await this.connection.call("storage_pool_build", { ...this.pool, flags }, limits);
  }

  async destroy(limits: CallLimits = {}): Promise<void> {
    await this.connection.call("storage_pool_destroy", this.pool, limits);
  }

  async undefine(limits: CallLimits = {}): Promise<void> {
    await this.connection.call("storage_pool_undefine", this.pool, limits);
  }

  async refresh(limits: CallLimits = {}): Promise<void> {
    await this.connection.call("storage_pool_refresh", { ...this.pool, flags: 0 }, limits);
  }

  async setAutostart(autostart: boolean, limits: CallLimits = {}): Promise<void> {
    await this.connection.call(
      "storage_pool_set_autostart",
      { ...this.pool, autostart: autostart ? 1 : 0 },
      limits,
    );
  }

  async listVolumes(limits: CallLimits = {}): Promise<StorageVolume[]> {
    const args = { ...this.pool, need_results: 1, flags: 0 };
    const { vols } = await this.connection.call("storage_pool_list_all_volumes", args, limits);
    return vols.map((handle) => new StorageVolume(this.connection, handle));
  }

  async lookupVolumeByName(name: string, limits: CallLimits = {}): Promise<StorageVolume> {
    const { vol } = await this.connection.call("storage_vol_lookup_by_name", { ...this.pool, name }, limits);
    return new StorageVolume(this.connection, vol);
  }

  async createVolume(xml: string, flags = 0, limits: CallLimits = {}): Promise<StorageVolume> {
    const { vol } = await this.connection.call(
      "storage_vol_create_xml",
      { ...this.pool, xml, flags },
      limits,
    );
    return new StorageVolume(this.connection, vol);
  }
}

import { storagePool, storageVolume } from "../structures.ts";
import { array, i32, nullable, string, struct, u32, u64, uuid } from "../xdr.ts";
import { layout, nothing, remote } from "./procedure.ts";

/** Storage pools and volumes: arguments and result of each procedure. */
export const storageProcedures = remote({
  storage_pool_define_xml: layout(struct({ xml: string, flags: u32 }), struct({ pool: storagePool })),
  storage_pool_create_xml: layout(struct({ xml: string, flags: u32 }), struct({ pool: storagePool })),
  storage_pool_create: layout(struct({ pool: storagePool, flags: u32 }), nothing),
  storage_pool_build: layout(struct({ pool: storagePool, flags: u32 }), nothing),
  storage_pool_destroy: layout(struct({ pool: storagePool }), nothing),
  storage_pool_delete: layout(struct({ pool: storagePool, flags: u32 }), nothing),
  storage_pool_undefine: layout(struct({ pool: storagePool }), nothing),
  storage_pool_refresh: layout(struct({ pool: storagePool, flags: u32 }), nothing),
  storage_pool_lookup_by_name: layout(struct({ name: string }), struct({ pool: storagePool })),
  storage_pool_lookup_by_uuid: layout(struct({ uuid: uuid }), struct({ pool: storagePool })),
  storage_pool_lookup_by_volume: layout(struct({ vol: storageVolume }), struct({ pool: storagePool })),
  storage_pool_lookup_by_target_path: layout(struct({ path: string }), struct({ pool: storagePool })),
  storage_pool_get_info: layout(
    struct({ pool: storagePool }),
    struct({ state: u32, capacity: u64, allocation: u64, available: u64 }),
  ),
  storage_pool_get_xml_desc: layout(struct({ pool: storagePool, flags: u32 }), struct({ xml: string })),
  storage_pool_get_autostart: layout(struct({ pool: storagePool }), struct({ autostart: i32 })),
  storage_pool_set_autostart: layout(struct({ pool: storagePool, autostart: i32 }), nothing),
  storage_pool_is_active: layout(struct({ pool: storagePool }), struct({ active: i32 })),
  storage_pool_is_persistent: layout(struct({ pool: storagePool }), struct({ persistent: i32 })),
  storage_pool_list_all_volumes: layout(
    struct({ pool: storagePool, need_results: i32, flags: u32 }),
    struct({ vols: array(storageVolume, 16384), ret: u32 }),
  ),
  connect_find_storage_pool_sources: layout(
    struct({ type: string, srcSpec: nullable(string), flags: u32 }),
    struct({ xml: string }),
  ),
  storage_vol_create_xml: layout(
    struct({ pool: storagePool, xml: string, flags: u32 }),
    struct({ vol: storageVolume }),
  ),
  storage_vol_create_xml_from: layout(
    struct({ pool: storagePool, xml: string, clonevol: storageVolume, flags: u32 }),
    struct({ vol: storageVolume }),
  ),
  storage_vol_delete: layout(struct({ vol: storageVolume, flags: u32 }), nothing),
  storage_vol_resize: layout(struct({ vol: storageVolume, capacity: u64, flags: u32 }), nothing),
  storage_vol_wipe_pattern: layout(struct({ vol: storageVolume, algorithm: u32, flags: u32 }), nothing),
  storage_vol_wipe: layout(struct({ vol: storageVolume, flags: u32 }), nothing),
  storage_vol_upload: layout(struct({ vol: storageVolume, offset: u64, length: u64, flags: u32 }), nothing),
  storage_vol_download: layout(struct({ vol: storageVolume, offset: u64, length: u64, flags: u32 }), nothing),
  storage_vol_get_info: layout(
    struct({ vol: storageVolume }),
    struct({ type: i32, capacity: u64, allocation: u64 }),
  ),
  storage_vol_get_info_flags: layout(
    struct({ vol: storageVolume, flags: u32 }),
    struct({ type: i32, capacity: u64, allocation: u64 }),
  ),
  storage_vol_get_path: layout(struct({ vol: storageVolume }), struct({ name: string })),
  storage_vol_get_xml_desc: layout(struct({ vol: storageVolume, flags: u32 }), struct({ xml: string })),
  storage_vol_lookup_by_name: layout(
    struct({ pool: storagePool, name: string }),
    struct({ vol: storageVolume }),
  ),
  storage_vol_lookup_by_key: layout(struct({ key: string }), struct({ vol: storageVolume })),
  storage_vol_lookup_by_path: layout(struct({ path: string }), struct({ vol: storageVolume })),
});

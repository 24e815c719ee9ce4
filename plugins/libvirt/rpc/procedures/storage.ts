import { storagePool, storageVolume } from "../structures.ts";
import { array, i32, nullable, string, struct, u32, u64, uuid } from "../xdr.ts";
import { nothing, remote } from "./procedure.ts";

/** Storage pools and volumes: number, arguments and result of each procedure. */
export const storageProcedures = {
  storage_pool_define_xml: remote(77, struct({ xml: string, flags: u32 }), struct({ pool: storagePool })),
  storage_pool_create_xml: remote(76, struct({ xml: string, flags: u32 }), struct({ pool: storagePool })),
  storage_pool_create: remote(78, struct({ pool: storagePool, flags: u32 }), nothing),
  storage_pool_build: remote(79, struct({ pool: storagePool, flags: u32 }), nothing),
  storage_pool_destroy: remote(80, struct({ pool: storagePool }), nothing),
  storage_pool_delete: remote(81, struct({ pool: storagePool, flags: u32 }), nothing),
  storage_pool_undefine: remote(82, struct({ pool: storagePool }), nothing),
  storage_pool_refresh: remote(83, struct({ pool: storagePool, flags: u32 }), nothing),
  storage_pool_lookup_by_name: remote(84, struct({ name: string }), struct({ pool: storagePool })),
  storage_pool_lookup_by_uuid: remote(85, struct({ uuid: uuid }), struct({ pool: storagePool })),
  storage_pool_lookup_by_volume: remote(86, struct({ vol: storageVolume }), struct({ pool: storagePool })),
  storage_pool_lookup_by_target_path: remote(391, struct({ path: string }), struct({ pool: storagePool })),
  storage_pool_get_info: remote(
    87,
    struct({ pool: storagePool }),
    struct({ state: u32, capacity: u64, allocation: u64, available: u64 }),
  ),
  storage_pool_get_xml_desc: remote(88, struct({ pool: storagePool, flags: u32 }), struct({ xml: string })),
  storage_pool_get_autostart: remote(89, struct({ pool: storagePool }), struct({ autostart: i32 })),
  storage_pool_set_autostart: remote(90, struct({ pool: storagePool, autostart: i32 }), nothing),
  storage_pool_is_active: remote(154, struct({ pool: storagePool }), struct({ active: i32 })),
  storage_pool_is_persistent: remote(155, struct({ pool: storagePool }), struct({ persistent: i32 })),
  storage_pool_list_all_volumes: remote(
    282,
    struct({ pool: storagePool, need_results: i32, flags: u32 }),
    struct({ vols: array(storageVolume, 16384), ret: u32 }),
  ),
  connect_find_storage_pool_sources: remote(
    75,
    struct({ type: string, srcSpec: nullable(string), flags: u32 }),
    struct({ xml: string }),
  ),
  storage_vol_create_xml: remote(
    93,
    struct({ pool: storagePool, xml: string, flags: u32 }),
    struct({ vol: storageVolume }),
  ),
  storage_vol_create_xml_from: remote(
    125,
    struct({ pool: storagePool, xml: string, clonevol: storageVolume, flags: u32 }),
    struct({ vol: storageVolume }),
  ),
  storage_vol_delete: remote(94, struct({ vol: storageVolume, flags: u32 }), nothing),
  storage_vol_resize: remote(260, struct({ vol: storageVolume, capacity: u64, flags: u32 }), nothing),
  storage_vol_wipe_pattern: remote(259, struct({ vol: storageVolume, algorithm: u32, flags: u32 }), nothing),
  storage_vol_wipe: remote(165, struct({ vol: storageVolume, flags: u32 }), nothing),
  storage_vol_upload: remote(
    208,
    struct({ vol: storageVolume, offset: u64, length: u64, flags: u32 }),
    nothing,
  ),
  storage_vol_download: remote(
    209,
    struct({ vol: storageVolume, offset: u64, length: u64, flags: u32 }),
    nothing,
  ),
  storage_vol_get_info: remote(
    98,
    struct({ vol: storageVolume }),
    struct({ type: i32, capacity: u64, allocation: u64 }),
  ),
  storage_vol_get_info_flags: remote(
    378,
    struct({ vol: storageVolume, flags: u32 }),
    struct({ type: i32, capacity: u64, allocation: u64 }),
  ),
  storage_vol_get_path: remote(100, struct({ vol: storageVolume }), struct({ name: string })),
  storage_vol_get_xml_desc: remote(99, struct({ vol: storageVolume, flags: u32 }), struct({ xml: string })),
  storage_vol_lookup_by_name: remote(
    95,
    struct({ pool: storagePool, name: string }),
    struct({ vol: storageVolume }),
  ),
  storage_vol_lookup_by_key: remote(96, struct({ key: string }), struct({ vol: storageVolume })),
  storage_vol_lookup_by_path: remote(97, struct({ path: string }), struct({ vol: storageVolume })),
};

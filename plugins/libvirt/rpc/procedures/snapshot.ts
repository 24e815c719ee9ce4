import { domain, domainCheckpoint, domainSnapshot } from "../structures.ts";
import { array, i32, string, struct, u32 } from "../xdr.ts";
import { nothing, remote } from "./procedure.ts";

/** Snapshots and checkpoints of domains: number, arguments and result of each procedure. */
export const snapshotProcedures = {
  domain_snapshot_create_xml: remote(
    185,
    struct({ dom: domain, xml_desc: string, flags: u32 }),
    struct({ snap: domainSnapshot }),
  ),
  domain_list_all_snapshots: remote(
    274,
    struct({ dom: domain, need_results: i32, flags: u32 }),
    struct({ snapshots: array(domainSnapshot, 16384), ret: i32 }),
  ),
  domain_snapshot_lookup_by_name: remote(
    189,
    struct({ dom: domain, name: string, flags: u32 }),
    struct({ snap: domainSnapshot }),
  ),
  domain_snapshot_get_xml_desc: remote(
    186,
    struct({ snap: domainSnapshot, flags: u32 }),
    struct({ xml: string }),
  ),
  domain_snapshot_get_parent: remote(
    244,
    struct({ snap: domainSnapshot, flags: u32 }),
    struct({ snap: domainSnapshot }),
  ),
  domain_snapshot_current: remote(191, struct({ dom: domain, flags: u32 }), struct({ snap: domainSnapshot })),
  domain_has_current_snapshot: remote(190, struct({ dom: domain, flags: u32 }), struct({ result: i32 })),
  domain_snapshot_is_current: remote(
    271,
    struct({ snap: domainSnapshot, flags: u32 }),
    struct({ current: i32 }),
  ),
  domain_snapshot_has_metadata: remote(
    272,
    struct({ snap: domainSnapshot, flags: u32 }),
    struct({ metadata: i32 }),
  ),
  domain_snapshot_delete: remote(193, struct({ snap: domainSnapshot, flags: u32 }), nothing),
  domain_revert_to_snapshot: remote(192, struct({ snap: domainSnapshot, flags: u32 }), nothing),
  domain_snapshot_num: remote(187, struct({ dom: domain, flags: u32 }), struct({ num: i32 })),
  domain_snapshot_num_children: remote(
    246,
    struct({ snap: domainSnapshot, flags: u32 }),
    struct({ num: i32 }),
  ),
  domain_snapshot_list_all_children: remote(
    275,
    struct({ snapshot: domainSnapshot, need_results: i32, flags: u32 }),
    struct({ snapshots: array(domainSnapshot, 16384), ret: i32 }),
  ),
  domain_list_all_checkpoints: remote(
    413,
    struct({ dom: domain, need_results: i32, flags: u32 }),
    struct({ checkpoints: array(domainCheckpoint, 16384), ret: i32 }),
  ),
};

import { domain, domainSnapshot } from "../structures.ts";
import { array, i32, string, struct, u32 } from "../xdr.ts";
import { layout, nothing, remote } from "./procedure.ts";

/** Snapshots of domains: arguments and result of each procedure. */
export const snapshotProcedures = remote({
  domain_snapshot_create_xml: layout(
    struct({ dom: domain, xml_desc: string, flags: u32 }),
    struct({ snap: domainSnapshot }),
  ),
  domain_list_all_snapshots: layout(
    struct({ dom: domain, need_results: i32, flags: u32 }),
    struct({ snapshots: array(domainSnapshot, 16384), ret: i32 }),
  ),
  domain_snapshot_lookup_by_name: layout(
    struct({ dom: domain, name: string, flags: u32 }),
    struct({ snap: domainSnapshot }),
  ),
  domain_snapshot_get_xml_desc: layout(struct({ snap: domainSnapshot, flags: u32 }), struct({ xml: string })),
  domain_snapshot_get_parent: layout(
    struct({ snap: domainSnapshot, flags: u32 }),
    struct({ snap: domainSnapshot }),
  ),
  domain_snapshot_current: layout(struct({ dom: domain, flags: u32 }), struct({ snap: domainSnapshot })),
  domain_has_current_snapshot: layout(struct({ dom: domain, flags: u32 }), struct({ result: i32 })),
  domain_snapshot_is_current: layout(struct({ snap: domainSnapshot, flags: u32 }), struct({ current: i32 })),
  domain_snapshot_has_metadata: layout(
    struct({ snap: domainSnapshot, flags: u32 }),
    struct({ metadata: i32 }),
  ),
  domain_snapshot_delete: layout(struct({ snap: domainSnapshot, flags: u32 }), nothing),
  domain_revert_to_snapshot: layout(struct({ snap: domainSnapshot, flags: u32 }), nothing),
  domain_snapshot_num: layout(struct({ dom: domain, flags: u32 }), struct({ num: i32 })),
  domain_snapshot_num_children: layout(struct({ snap: domainSnapshot, flags: u32 }), struct({ num: i32 })),
  domain_snapshot_list_all_children: layout(
    struct({ snapshot: domainSnapshot, need_results: i32, flags: u32 }),
    struct({ snapshots: array(domainSnapshot, 16384), ret: i32 }),
  ),
});

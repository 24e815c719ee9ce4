import { domain, domainCheckpoint } from "../structures.ts";
import { array, i32, nullable, string, struct, u32 } from "../xdr.ts";
import { layout, nothing, remote } from "./procedure.ts";

/** Checkpoints of domains and backups: arguments and result of each procedure. */
export const checkpointProcedures = remote({
  domain_checkpoint_create_xml: layout(
    struct({ dom: domain, xml_desc: string, flags: u32 }),
    struct({ checkpoint: domainCheckpoint }),
  ),
  domain_list_all_checkpoints: layout(
    struct({ dom: domain, need_results: i32, flags: u32 }),
    struct({ checkpoints: array(domainCheckpoint, 16384), ret: i32 }),
  ),
  domain_checkpoint_list_all_children: layout(
    struct({ checkpoint: domainCheckpoint, need_results: i32, flags: u32 }),
    struct({ checkpoints: array(domainCheckpoint, 16384), ret: i32 }),
  ),
  domain_checkpoint_lookup_by_name: layout(
    struct({ dom: domain, name: string, flags: u32 }),
    struct({ checkpoint: domainCheckpoint }),
  ),
  domain_checkpoint_get_xml_desc: layout(
    struct({ checkpoint: domainCheckpoint, flags: u32 }),
    struct({ xml: string }),
  ),
  domain_checkpoint_get_parent: layout(
    struct({ checkpoint: domainCheckpoint, flags: u32 }),
    struct({ parent: domainCheckpoint }),
  ),
  domain_checkpoint_delete: layout(struct({ checkpoint: domainCheckpoint, flags: u32 }), nothing),
  domain_backup_begin: layout(
    struct({ dom: domain, backup_xml: string, checkpoint_xml: nullable(string), flags: u32 }),
    nothing,
  ),
  domain_backup_get_xml_desc: layout(struct({ dom: domain, flags: u32 }), struct({ xml: string })),
});

import { diskError, domain, typedParameter } from "../structures.ts";
import { array, bytes, i32, i64, nullable, string, struct, u32, u64 } from "../xdr.ts";
import { layout, nothing, remote } from "./procedure.ts";

/** Devices, disks and block jobs of domains: arguments and result of each procedure. */
export const deviceProcedures = remote({
  domain_attach_device_flags: layout(struct({ dom: domain, xml: string, flags: u32 }), nothing),
  domain_detach_device_flags: layout(struct({ dom: domain, xml: string, flags: u32 }), nothing),
  domain_detach_device_alias: layout(struct({ dom: domain, alias: string, flags: u32 }), nothing),
  domain_update_device_flags: layout(struct({ dom: domain, xml: string, flags: u32 }), nothing),
  domain_block_resize: layout(struct({ dom: domain, disk: string, size: u64, flags: u32 }), nothing),
  domain_get_block_info: layout(
    struct({ dom: domain, path: string, flags: u32 }),
    struct({ allocation: u64, capacity: u64, physical: u64 }),
  ),
  domain_block_stats: layout(
    struct({ dom: domain, path: string }),
    struct({ rd_req: i64, rd_bytes: i64, wr_req: i64, wr_bytes: i64, errs: i64 }),
  ),
  domain_block_stats_flags: layout(
    struct({ dom: domain, path: string, nparams: i32, flags: u32 }),
    struct({ params: array(typedParameter, 16), nparams: i32 }),
  ),
  domain_block_commit: layout(
    struct({
      dom: domain,
      disk: string,
      base: nullable(string),
      top: nullable(string),
      bandwidth: u64,
      flags: u32,
    }),
    nothing,
  ),
  domain_block_pull: layout(struct({ dom: domain, path: string, bandwidth: u64, flags: u32 }), nothing),
  domain_block_rebase: layout(
    struct({ dom: domain, path: string, base: nullable(string), bandwidth: u64, flags: u32 }),
    nothing,
  ),
  domain_block_copy: layout(
    struct({ dom: domain, path: string, destxml: string, params: array(typedParameter, 16), flags: u32 }),
    nothing,
  ),
  domain_block_job_abort: layout(struct({ dom: domain, path: string, flags: u32 }), nothing),
  domain_get_block_job_info: layout(
    struct({ dom: domain, path: string, flags: u32 }),
    struct({ found: i32, type: i32, bandwidth: u64, cur: u64, end: u64 }),
  ),
  domain_block_job_set_speed: layout(
    struct({ dom: domain, path: string, bandwidth: u64, flags: u32 }),
    nothing,
  ),
  domain_get_disk_errors: layout(
    struct({ dom: domain, maxerrors: u32, flags: u32 }),
    struct({ errors: array(diskError, 256), nerrors: i32 }),
  ),
  domain_set_block_threshold: layout(
    struct({ dom: domain, dev: string, threshold: u64, flags: u32 }),
    nothing,
  ),
  domain_block_peek: layout(
    struct({ dom: domain, path: string, offset: u64, size: u32, flags: u32 }),
    struct({ buffer: bytes(4194304) }),
  ),
});

import { diskError, domain, typedParameter } from "../structures.ts";
import { array, bytes, i32, i64, nullable, string, struct, u32, u64 } from "../xdr.ts";
import { nothing, remote } from "./procedure.ts";

/** Devices, disks and block jobs of domains: number, arguments and result of each procedure. */
export const deviceProcedures = {
  domain_attach_device_flags: remote(160, struct({ dom: domain, xml: string, flags: u32 }), nothing),
  domain_detach_device_flags: remote(161, struct({ dom: domain, xml: string, flags: u32 }), nothing),
  domain_detach_device_alias: remote(392, struct({ dom: domain, alias: string, flags: u32 }), nothing),
  domain_update_device_flags: remote(174, struct({ dom: domain, xml: string, flags: u32 }), nothing),
  domain_block_resize: remote(251, struct({ dom: domain, disk: string, size: u64, flags: u32 }), nothing),
  domain_get_block_info: remote(
    194,
    struct({ dom: domain, path: string, flags: u32 }),
    struct({ allocation: u64, capacity: u64, physical: u64 }),
  ),
  domain_block_stats: remote(
    64,
    struct({ dom: domain, path: string }),
    struct({ rd_req: i64, rd_bytes: i64, wr_req: i64, wr_bytes: i64, errs: i64 }),
  ),
  domain_block_stats_flags: remote(
    243,
    struct({ dom: domain, path: string, nparams: i32, flags: u32 }),
    struct({ params: array(typedParameter, 16), nparams: i32 }),
  ),
  domain_block_commit: remote(
    290,
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
  domain_block_pull: remote(240, struct({ dom: domain, path: string, bandwidth: u64, flags: u32 }), nothing),
  domain_block_rebase: remote(
    266,
    struct({ dom: domain, path: string, base: nullable(string), bandwidth: u64, flags: u32 }),
    nothing,
  ),
  domain_block_copy: remote(
    345,
    struct({ dom: domain, path: string, destxml: string, params: array(typedParameter, 16), flags: u32 }),
    nothing,
  ),
  domain_block_job_abort: remote(237, struct({ dom: domain, path: string, flags: u32 }), nothing),
  domain_get_block_job_info: remote(
    238,
    struct({ dom: domain, path: string, flags: u32 }),
    struct({ found: i32, type: i32, bandwidth: u64, cur: u64, end: u64 }),
  ),
  domain_block_job_set_speed: remote(
    239,
    struct({ dom: domain, path: string, bandwidth: u64, flags: u32 }),
    nothing,
  ),
  domain_get_disk_errors: remote(
    263,
    struct({ dom: domain, maxerrors: u32, flags: u32 }),
    struct({ errors: array(diskError, 256), nerrors: i32 }),
  ),
  domain_set_block_threshold: remote(
    386,
    struct({ dom: domain, dev: string, threshold: u64, flags: u32 }),
    nothing,
  ),
  domain_block_peek: remote(
    103,
    struct({ dom: domain, path: string, offset: u64, size: u32, flags: u32 }),
    struct({ buffer: bytes(4194304) }),
  ),
};

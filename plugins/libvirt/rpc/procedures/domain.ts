import { domain, typedParameter } from "../structures.ts";
import { array, i32, nullable, string, struct, u32, u64, uuid } from "../xdr.ts";
import { layout, nothing, remote } from "./procedure.ts";

/** Look-up and life cycle of domains: arguments and result of each procedure. */
export const domainProcedures = remote({
  domain_lookup_by_name: layout(struct({ name: string }), struct({ dom: domain })),
  domain_lookup_by_uuid: layout(struct({ uuid: uuid }), struct({ dom: domain })),
  domain_lookup_by_id: layout(struct({ id: i32 }), struct({ dom: domain })),
  domain_define_xml_flags: layout(struct({ xml: string, flags: u32 }), struct({ dom: domain })),
  domain_define_xml: layout(struct({ xml: string }), struct({ dom: domain })),
  domain_create_xml: layout(struct({ xml_desc: string, flags: u32 }), struct({ dom: domain })),
  domain_create_with_flags: layout(struct({ dom: domain, flags: u32 }), struct({ dom: domain })),
  domain_shutdown_flags: layout(struct({ dom: domain, flags: u32 }), nothing),
  domain_destroy_flags: layout(struct({ dom: domain, flags: u32 }), nothing),
  domain_undefine_flags: layout(struct({ dom: domain, flags: u32 }), nothing),
  domain_reboot: layout(struct({ dom: domain, flags: u32 }), nothing),
  domain_reset: layout(struct({ dom: domain, flags: u32 }), nothing),
  domain_suspend: layout(struct({ dom: domain }), nothing),
  domain_resume: layout(struct({ dom: domain }), nothing),
  domain_pm_suspend_for_duration: layout(
    struct({ dom: domain, target: u32, duration: u64, flags: u32 }),
    nothing,
  ),
  domain_pm_wakeup: layout(struct({ dom: domain, flags: u32 }), nothing),
  domain_managed_save: layout(struct({ dom: domain, flags: u32 }), nothing),
  domain_has_managed_save_image: layout(struct({ dom: domain, flags: u32 }), struct({ result: i32 })),
  domain_managed_save_remove: layout(struct({ dom: domain, flags: u32 }), nothing),
  domain_managed_save_get_xml_desc: layout(struct({ dom: domain, flags: u32 }), struct({ xml: string })),
  domain_save_flags: layout(struct({ dom: domain, to: string, dxml: nullable(string), flags: u32 }), nothing),
  domain_restore_flags: layout(struct({ from: string, dxml: nullable(string), flags: u32 }), nothing),
  domain_core_dump_with_format: layout(
    struct({ dom: domain, to: string, dumpformat: u32, flags: u32 }),
    nothing,
  ),
  domain_rename: layout(
    struct({ dom: domain, new_name: nullable(string), flags: u32 }),
    struct({ retcode: i32 }),
  ),
  domain_set_autostart: layout(struct({ dom: domain, autostart: i32 }), nothing),
  domain_get_autostart: layout(struct({ dom: domain }), struct({ autostart: i32 })),
  domain_is_active: layout(struct({ dom: domain }), struct({ active: i32 })),
  domain_is_persistent: layout(struct({ dom: domain }), struct({ persistent: i32 })),
  domain_is_updated: layout(struct({ dom: domain }), struct({ updated: i32 })),
  domain_inject_nmi: layout(struct({ dom: domain, flags: u32 }), nothing),
  domain_send_key: layout(
    struct({ dom: domain, codeset: u32, holdtime: u32, keycodes: array(u32, 16), flags: u32 }),
    nothing,
  ),
  domain_get_job_info: layout(
    struct({ dom: domain }),
    struct({
      type: i32,
      timeElapsed: u64,
      timeRemaining: u64,
      dataTotal: u64,
      dataProcessed: u64,
      dataRemaining: u64,
      memTotal: u64,
      memProcessed: u64,
      memRemaining: u64,
      fileTotal: u64,
      fileProcessed: u64,
      fileRemaining: u64,
    }),
  ),
  domain_get_job_stats: layout(
    struct({ dom: domain, flags: u32 }),
    struct({ type: i32, params: array(typedParameter, 64) }),
  ),
  domain_abort_job: layout(struct({ dom: domain }), nothing),
});

import { domain, domainInterface, fileSystem, memoryStat, typedParameter } from "../structures.ts";
import { array, bytes, i32, i64, nullable, string, struct, u32, u64 } from "../xdr.ts";
import { layout, nothing, remote } from "./procedure.ts";

/** Reading and tuning of domains: arguments and result of each procedure. */
export const tuningProcedures = remote({
  domain_get_state: layout(struct({ dom: domain, flags: u32 }), struct({ state: i32, reason: i32 })),
  domain_get_info: layout(
    struct({ dom: domain }),
    struct({ state: u32, maxMem: u64, memory: u64, nrVirtCpu: u32, cpuTime: u64 }),
  ),
  domain_get_xml_desc: layout(struct({ dom: domain, flags: u32 }), struct({ xml: string })),
  domain_get_metadata: layout(
    struct({ dom: domain, type: i32, uri: nullable(string), flags: u32 }),
    struct({ metadata: string }),
  ),
  domain_set_metadata: layout(
    struct({
      dom: domain,
      type: i32,
      metadata: nullable(string),
      key: nullable(string),
      uri: nullable(string),
      flags: u32,
    }),
    nothing,
  ),
  domain_set_vcpus_flags: layout(struct({ dom: domain, nvcpus: u32, flags: u32 }), nothing),
  domain_get_vcpus_flags: layout(struct({ dom: domain, flags: u32 }), struct({ num: i32 })),
  domain_set_memory_flags: layout(struct({ dom: domain, memory: u64, flags: u32 }), nothing),
  domain_get_max_memory: layout(struct({ dom: domain }), struct({ memory: u64 })),
  domain_set_memory_stats_period: layout(struct({ dom: domain, period: i32, flags: u32 }), nothing),
  domain_memory_stats: layout(
    struct({ dom: domain, maxStats: u32, flags: u32 }),
    struct({ stats: array(memoryStat, 1024) }),
  ),
  domain_get_cpu_stats: layout(
    struct({ dom: domain, nparams: u32, start_cpu: i32, ncpus: u32, flags: u32 }),
    struct({ params: array(typedParameter, 2048), nparams: i32 }),
  ),
  domain_interface_addresses: layout(
    struct({ dom: domain, source: u32, flags: u32 }),
    struct({ ifaces: array(domainInterface, 2048) }),
  ),
  domain_interface_stats: layout(
    struct({ dom: domain, device: string }),
    struct({
      rx_bytes: i64,
      rx_packets: i64,
      rx_errs: i64,
      rx_drop: i64,
      tx_bytes: i64,
      tx_packets: i64,
      tx_errs: i64,
      tx_drop: i64,
    }),
  ),
  domain_get_guest_info: layout(
    struct({ dom: domain, types: u32, flags: u32 }),
    struct({ params: array(typedParameter, 2048) }),
  ),
  domain_get_hostname: layout(struct({ dom: domain, flags: u32 }), struct({ hostname: string })),
  domain_get_time: layout(struct({ dom: domain, flags: u32 }), struct({ seconds: i64, nseconds: u32 })),
  domain_set_time: layout(struct({ dom: domain, seconds: i64, nseconds: u32, flags: u32 }), nothing),
  domain_get_fsinfo: layout(
    struct({ dom: domain, flags: u32 }),
    struct({ info: array(fileSystem, 256), ret: u32 }),
  ),
  domain_fsfreeze: layout(
    struct({ dom: domain, mountpoints: array(string, 256), flags: u32 }),
    struct({ filesystems: i32 }),
  ),
  domain_fsthaw: layout(
    struct({ dom: domain, mountpoints: array(string, 256), flags: u32 }),
    struct({ filesystems: i32 }),
  ),
  domain_fstrim: layout(
    struct({ dom: domain, mountPoint: nullable(string), minimum: u64, flags: u32 }),
    nothing,
  ),
  domain_agent_set_response_timeout: layout(
    struct({ dom: domain, timeout: i32, flags: u32 }),
    struct({ result: i32 }),
  ),
  domain_set_user_password: layout(
    struct({ dom: domain, user: nullable(string), password: nullable(string), flags: u32 }),
    nothing,
  ),
  domain_get_control_info: layout(
    struct({ dom: domain, flags: u32 }),
    struct({ state: u32, details: u32, stateTime: u64 }),
  ),
  domain_get_messages: layout(struct({ dom: domain, flags: u32 }), struct({ msgs: array(string, 2048) })),
  domain_set_block_io_tune: layout(
    struct({ dom: domain, disk: string, params: array(typedParameter, 32), flags: u32 }),
    nothing,
  ),
  domain_set_interface_parameters: layout(
    struct({ dom: domain, device: string, params: array(typedParameter, 16), flags: u32 }),
    nothing,
  ),
  domain_set_scheduler_parameters_flags: layout(
    struct({ dom: domain, params: array(typedParameter, 16), flags: u32 }),
    nothing,
  ),
  domain_get_scheduler_parameters_flags: layout(
    struct({ dom: domain, nparams: i32, flags: u32 }),
    struct({ params: array(typedParameter, 16) }),
  ),
  domain_pin_vcpu_flags: layout(struct({ dom: domain, vcpu: u32, cpumap: bytes(2048), flags: u32 }), nothing),
  domain_screenshot: layout(
    struct({ dom: domain, screen: u32, flags: u32 }),
    struct({ mime: nullable(string) }),
  ),
  domain_open_console: layout(struct({ dom: domain, dev_name: nullable(string), flags: u32 }), nothing),
  domain_open_channel: layout(struct({ dom: domain, name: nullable(string), flags: u32 }), nothing),
});

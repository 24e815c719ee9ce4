import { domain, domainInterface, fileSystem, memoryStat, typedParameter } from "../structures.ts";
import { array, bytes, i32, i64, nullable, string, struct, u32, u64 } from "../xdr.ts";
import { nothing, remote } from "./procedure.ts";

/** Reading and tuning of domains: number, arguments and result of each procedure. */
export const tuningProcedures = {
  domain_get_state: remote(212, struct({ dom: domain, flags: u32 }), struct({ state: i32, reason: i32 })),
  domain_get_info: remote(
    16,
    struct({ dom: domain }),
    struct({ state: u32, maxMem: u64, memory: u64, nrVirtCpu: u32, cpuTime: u64 }),
  ),
  domain_get_xml_desc: remote(14, struct({ dom: domain, flags: u32 }), struct({ xml: string })),
  domain_get_metadata: remote(
    265,
    struct({ dom: domain, type: i32, uri: nullable(string), flags: u32 }),
    struct({ metadata: string }),
  ),
  domain_set_metadata: remote(
    264,
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
  domain_set_vcpus_flags: remote(199, struct({ dom: domain, nvcpus: u32, flags: u32 }), nothing),
  domain_get_vcpus_flags: remote(200, struct({ dom: domain, flags: u32 }), struct({ num: i32 })),
  domain_set_memory_flags: remote(204, struct({ dom: domain, memory: u64, flags: u32 }), nothing),
  domain_get_max_memory: remote(17, struct({ dom: domain }), struct({ memory: u64 })),
  domain_set_memory_stats_period: remote(308, struct({ dom: domain, period: i32, flags: u32 }), nothing),
  domain_memory_stats: remote(
    159,
    struct({ dom: domain, maxStats: u32, flags: u32 }),
    struct({ stats: array(memoryStat, 1024) }),
  ),
  domain_get_cpu_stats: remote(
    262,
    struct({ dom: domain, nparams: u32, start_cpu: i32, ncpus: u32, flags: u32 }),
    struct({ params: array(typedParameter, 2048), nparams: i32 }),
  ),
  domain_interface_addresses: remote(
    353,
    struct({ dom: domain, source: u32, flags: u32 }),
    struct({ ifaces: array(domainInterface, 2048) }),
  ),
  domain_interface_stats: remote(
    65,
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
  domain_get_guest_info: remote(
    418,
    struct({ dom: domain, types: u32, flags: u32 }),
    struct({ params: array(typedParameter, 2048) }),
  ),
  domain_get_hostname: remote(277, struct({ dom: domain, flags: u32 }), struct({ hostname: string })),
  domain_get_time: remote(337, struct({ dom: domain, flags: u32 }), struct({ seconds: i64, nseconds: u32 })),
  domain_set_time: remote(338, struct({ dom: domain, seconds: i64, nseconds: u32, flags: u32 }), nothing),
  domain_get_fsinfo: remote(
    349,
    struct({ dom: domain, flags: u32 }),
    struct({ info: array(fileSystem, 256), ret: u32 }),
  ),
  domain_fsfreeze: remote(
    335,
    struct({ dom: domain, mountpoints: array(string, 256), flags: u32 }),
    struct({ filesystems: i32 }),
  ),
  domain_fsthaw: remote(
    336,
    struct({ dom: domain, mountpoints: array(string, 256), flags: u32 }),
    struct({ filesystems: i32 }),
  ),
  domain_fstrim: remote(
    294,
    struct({ dom: domain, mountPoint: nullable(string), minimum: u64, flags: u32 }),
    nothing,
  ),
  domain_set_user_password: remote(
    357,
    struct({ dom: domain, user: nullable(string), password: nullable(string), flags: u32 }),
    nothing,
  ),
  domain_get_control_info: remote(
    229,
    struct({ dom: domain, flags: u32 }),
    struct({ state: u32, details: u32, stateTime: u64 }),
  ),
  domain_get_messages: remote(
    426,
    struct({ dom: domain, flags: u32 }),
    struct({ msgs: array(string, 2048) }),
  ),
  domain_set_block_io_tune: remote(
    252,
    struct({ dom: domain, disk: string, params: array(typedParameter, 32), flags: u32 }),
    nothing,
  ),
  domain_set_interface_parameters: remote(
    256,
    struct({ dom: domain, device: string, params: array(typedParameter, 16), flags: u32 }),
    nothing,
  ),
  domain_set_scheduler_parameters_flags: remote(
    219,
    struct({ dom: domain, params: array(typedParameter, 16), flags: u32 }),
    nothing,
  ),
  domain_get_scheduler_parameters_flags: remote(
    223,
    struct({ dom: domain, nparams: i32, flags: u32 }),
    struct({ params: array(typedParameter, 16) }),
  ),
  domain_pin_vcpu_flags: remote(
    225,
    struct({ dom: domain, vcpu: u32, cpumap: bytes(2048), flags: u32 }),
    nothing,
  ),
  domain_screenshot: remote(
    211,
    struct({ dom: domain, screen: u32, flags: u32 }),
    struct({ mime: nullable(string) }),
  ),
  domain_open_console: remote(201, struct({ dom: domain, dev_name: nullable(string), flags: u32 }), nothing),
  domain_open_channel: remote(296, struct({ dom: domain, name: nullable(string), flags: u32 }), nothing),
};

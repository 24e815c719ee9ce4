import { domain, domainStatsRecord, network, nodeStat, storagePool } from "../structures.ts";
import { array, characters, i32, nullable, string, struct, u32, u64 } from "../xdr.ts";
import { nothing, remote } from "./procedure.ts";

/** Authentication, the connection and the host: number, arguments and result of each procedure. */
export const hostProcedures = {
  auth_list: remote(66, nothing, struct({ types: array(i32, 20) })),
  auth_polkit: remote(70, nothing, struct({ complete: i32 })),
  auth_sasl_init: remote(67, nothing, struct({ mechlist: string })),
  connect_open: remote(1, struct({ name: nullable(string), flags: u32 }), nothing),
  connect_close: remote(2, nothing, nothing),
  connect_supports_feature: remote(60, struct({ feature: i32 }), struct({ supported: i32 })),
  connect_get_type: remote(3, nothing, struct({ type: string })),
  connect_get_version: remote(4, nothing, struct({ hv_ver: u64 })),
  connect_get_lib_version: remote(157, nothing, struct({ lib_ver: u64 })),
  connect_get_hostname: remote(59, nothing, struct({ hostname: string })),
  connect_get_uri: remote(110, nothing, struct({ uri: string })),
  connect_get_capabilities: remote(7, nothing, struct({ capabilities: string })),
  connect_get_domain_capabilities: remote(
    342,
    struct({
      emulatorbin: nullable(string),
      arch: nullable(string),
      machine: nullable(string),
      virttype: nullable(string),
      flags: u32,
    }),
    struct({ capabilities: string }),
  ),
  connect_get_max_vcpus: remote(5, struct({ type: nullable(string) }), struct({ max_vcpus: i32 })),
  connect_get_sysinfo: remote(203, struct({ flags: u32 }), struct({ sysinfo: string })),
  node_get_info: remote(
    6,
    nothing,
    struct({
      model: characters(32),
      memory: u64,
      cpus: i32,
      mhz: i32,
      nodes: i32,
      sockets: i32,
      cores: i32,
      threads: i32,
    }),
  ),
  node_get_free_memory: remote(102, nothing, struct({ freeMem: u64 })),
  node_get_memory_stats: remote(
    228,
    struct({ nparams: i32, cellNum: i32, flags: u32 }),
    struct({ params: array(nodeStat, 16), nparams: i32 }),
  ),
  node_get_cpu_stats: remote(
    227,
    struct({ cpuNum: i32, nparams: i32, flags: u32 }),
    struct({ params: array(nodeStat, 16), nparams: i32 }),
  ),
  connect_list_all_domains: remote(
    273,
    struct({ need_results: i32, flags: u32 }),
    struct({ domains: array(domain, 16384), ret: u32 }),
  ),
  connect_list_all_networks: remote(
    283,
    struct({ need_results: i32, flags: u32 }),
    struct({ nets: array(network, 16384), ret: u32 }),
  ),
  connect_list_all_storage_pools: remote(
    281,
    struct({ need_results: i32, flags: u32 }),
    struct({ pools: array(storagePool, 16384), ret: u32 }),
  ),
  connect_get_all_domain_stats: remote(
    344,
    struct({ doms: array(domain, 16384), stats: u32, flags: u32 }),
    struct({ retStats: array(domainStatsRecord, 16384) }),
  ),
};

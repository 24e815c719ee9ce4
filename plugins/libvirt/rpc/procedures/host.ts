import { domain, domainStatsRecord, network, nodeStat, storagePool } from "../structures.ts";
import { array, characters, i32, nullable, string, struct, u32, u64 } from "../xdr.ts";
import { layout, nothing, remote } from "./procedure.ts";

/** Authentication, the connection and the host: arguments and result of each procedure. */
export const hostProcedures = remote({
  auth_list: layout(nothing, struct({ types: array(i32, 20) })),
  auth_polkit: layout(nothing, struct({ complete: i32 })),
  auth_sasl_init: layout(nothing, struct({ mechlist: string })),
  connect_open: layout(struct({ name: nullable(string), flags: u32 }), nothing),
  connect_close: layout(nothing, nothing),
  connect_supports_feature: layout(struct({ feature: i32 }), struct({ supported: i32 })),
  connect_get_type: layout(nothing, struct({ type: string })),
  connect_get_version: layout(nothing, struct({ hv_ver: u64 })),
  connect_get_lib_version: layout(nothing, struct({ lib_ver: u64 })),
  connect_get_hostname: layout(nothing, struct({ hostname: string })),
  connect_get_uri: layout(nothing, struct({ uri: string })),
  connect_get_capabilities: layout(nothing, struct({ capabilities: string })),
  connect_get_domain_capabilities: layout(
    struct({
      emulatorbin: nullable(string),
      arch: nullable(string),
      machine: nullable(string),
      virttype: nullable(string),
      flags: u32,
    }),
    struct({ capabilities: string }),
  ),
  connect_get_max_vcpus: layout(struct({ type: nullable(string) }), struct({ max_vcpus: i32 })),
  connect_get_sysinfo: layout(struct({ flags: u32 }), struct({ sysinfo: string })),
  node_get_info: layout(
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
  node_get_free_memory: layout(nothing, struct({ freeMem: u64 })),
  node_get_memory_stats: layout(
    struct({ nparams: i32, cellNum: i32, flags: u32 }),
    struct({ params: array(nodeStat, 16), nparams: i32 }),
  ),
  node_get_cpu_stats: layout(
    struct({ cpuNum: i32, nparams: i32, flags: u32 }),
    struct({ params: array(nodeStat, 16), nparams: i32 }),
  ),
  connect_list_all_domains: layout(
    struct({ need_results: i32, flags: u32 }),
    struct({ domains: array(domain, 16384), ret: u32 }),
  ),
  connect_list_all_networks: layout(
    struct({ need_results: i32, flags: u32 }),
    struct({ nets: array(network, 16384), ret: u32 }),
  ),
  connect_list_all_storage_pools: layout(
    struct({ need_results: i32, flags: u32 }),
    struct({ pools: array(storagePool, 16384), ret: u32 }),
  ),
  connect_get_all_domain_stats: layout(
    struct({ doms: array(domain, 16384), stats: u32, flags: u32 }),
    struct({ retStats: array(domainStatsRecord, 16384) }),
  ),
});

import { domain, network, storagePool } from "../structures.ts";
import { i32, nullable, struct } from "../xdr.ts";
import { nothing, remote } from "./procedure.ts";

/** Registration for events: number, arguments and result of each procedure. */
export const eventProcedures = {
  connect_domain_event_callback_register_any: remote(
    316,
    struct({ eventID: i32, dom: nullable(domain) }),
    struct({ callbackID: i32 }),
  ),
  connect_domain_event_callback_deregister_any: remote(317, struct({ callbackID: i32 }), nothing),
  connect_network_event_register_any: remote(
    313,
    struct({ eventID: i32, net: nullable(network) }),
    struct({ callbackID: i32 }),
  ),
  connect_network_event_deregister_any: remote(314, struct({ callbackID: i32 }), nothing),
  connect_storage_pool_event_register_any: remote(
    368,
    struct({ eventID: i32, pool: nullable(storagePool) }),
    struct({ callbackID: i32 }),
  ),
  connect_storage_pool_event_deregister_any: remote(369, struct({ callbackID: i32 }), nothing),
  connect_register_close_callback: remote(360, nothing, nothing),
  connect_unregister_close_callback: remote(361, nothing, nothing),
};

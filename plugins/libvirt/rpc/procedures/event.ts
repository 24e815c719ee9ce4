import { domain, network, storagePool } from "../structures.ts";
import { i32, nullable, struct } from "../xdr.ts";
import { layout, nothing, remote } from "./procedure.ts";

/** Registration for events: arguments and result of each procedure. */
export const eventProcedures = remote({
  connect_domain_event_callback_register_any: layout(
    struct({ eventID: i32, dom: nullable(domain) }),
    struct({ callbackID: i32 }),
  ),
  connect_domain_event_callback_deregister_any: layout(struct({ callbackID: i32 }), nothing),
  connect_network_event_register_any: layout(
    struct({ eventID: i32, net: nullable(network) }),
    struct({ callbackID: i32 }),
  ),
  connect_network_event_deregister_any: layout(struct({ callbackID: i32 }), nothing),
  connect_storage_pool_event_register_any: layout(
    struct({ eventID: i32, pool: nullable(storagePool) }),
    struct({ callbackID: i32 }),
  ),
  connect_storage_pool_event_deregister_any: layout(struct({ callbackID: i32 }), nothing),
  connect_register_close_callback: layout(nothing, nothing),
  connect_unregister_close_callback: layout(nothing, nothing),
});

import { dhcpLease, network } from "../structures.ts";
import { array, i32, nullable, string, struct, u32, uuid } from "../xdr.ts";
import { layout, nothing, remote } from "./procedure.ts";

/** Networks and their leases: arguments and result of each procedure. */
export const networkProcedures = remote({
  network_lookup_by_name: layout(struct({ name: string }), struct({ net: network })),
  network_lookup_by_uuid: layout(struct({ uuid: uuid }), struct({ net: network })),
  network_get_xml_desc: layout(struct({ net: network, flags: u32 }), struct({ xml: string })),
  network_define_xml: layout(struct({ xml: string }), struct({ net: network })),
  network_define_xml_flags: layout(struct({ xml: string, flags: u32 }), struct({ net: network })),
  network_create_xml: layout(struct({ xml: string }), struct({ net: network })),
  network_create: layout(struct({ net: network }), nothing),
  network_destroy: layout(struct({ net: network }), nothing),
  network_undefine: layout(struct({ net: network }), nothing),
  network_update: layout(
    struct({ net: network, command: u32, section: u32, parentIndex: i32, xml: string, flags: u32 }),
    nothing,
  ),
  network_get_bridge_name: layout(struct({ net: network }), struct({ name: string })),
  network_get_autostart: layout(struct({ net: network }), struct({ autostart: i32 })),
  network_set_autostart: layout(struct({ net: network, autostart: i32 }), nothing),
  network_is_active: layout(struct({ net: network }), struct({ active: i32 })),
  network_is_persistent: layout(struct({ net: network }), struct({ persistent: i32 })),
  network_get_dhcp_leases: layout(
    struct({ net: network, mac: nullable(string), need_results: i32, flags: u32 }),
    struct({ leases: array(dhcpLease, 65536), ret: u32 }),
  ),
});

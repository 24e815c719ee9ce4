import { dhcpLease, network } from "../structures.ts";
import { array, i32, nullable, string, struct, u32, uuid } from "../xdr.ts";
import { nothing, remote } from "./procedure.ts";

/** Networks and their leases: number, arguments and result of each procedure. */
export const networkProcedures = {
  network_lookup_by_name: remote(46, struct({ name: string }), struct({ net: network })),
  network_lookup_by_uuid: remote(47, struct({ uuid: uuid }), struct({ net: network })),
  network_get_xml_desc: remote(43, struct({ net: network, flags: u32 }), struct({ xml: string })),
  network_define_xml: remote(41, struct({ xml: string }), struct({ net: network })),
  network_define_xml_flags: remote(432, struct({ xml: string, flags: u32 }), struct({ net: network })),
  network_create_xml: remote(40, struct({ xml: string }), struct({ net: network })),
  network_create: remote(39, struct({ net: network }), nothing),
  network_destroy: remote(42, struct({ net: network }), nothing),
  network_undefine: remote(49, struct({ net: network }), nothing),
  network_update: remote(
    291,
    struct({ net: network, command: u32, section: u32, parentIndex: i32, xml: string, flags: u32 }),
    nothing,
  ),
  network_get_bridge_name: remote(45, struct({ net: network }), struct({ name: string })),
  network_get_autostart: remote(44, struct({ net: network }), struct({ autostart: i32 })),
  network_set_autostart: remote(48, struct({ net: network, autostart: i32 }), nothing),
  network_is_active: remote(152, struct({ net: network }), struct({ active: i32 })),
  network_is_persistent: remote(153, struct({ net: network }), struct({ persistent: i32 })),
  network_get_dhcp_leases: remote(
    341,
    struct({ net: network, mac: nullable(string), need_results: i32, flags: u32 }),
    struct({ leases: array(dhcpLease, 65536), ret: u32 }),
  ),
};

import { domain } from "../structures.ts";
import { i32, nullable, string, struct, u32, type Value } from "../xdr.ts";
import { checkpointProcedures } from "./checkpoint.ts";
import { deviceProcedures } from "./device.ts";
import { domainProcedures } from "./domain.ts";
import { eventProcedures } from "./event.ts";
import { hostProcedures } from "./host.ts";
import { networkProcedures } from "./network.ts";
import { layout, nothing, qemu } from "./procedure.ts";
import { snapshotProcedures } from "./snapshot.ts";
import { storageProcedures } from "./storage.ts";
import { tuningProcedures } from "./tuning.ts";

/** Every procedure that this binding knows, by libvirt's name for it. */
export const procedures = {
  ...hostProcedures,
  ...domainProcedures,
  ...tuningProcedures,
  ...deviceProcedures,
  ...snapshotProcedures,
  ...checkpointProcedures,
  ...storageProcedures,
  ...networkProcedures,
  ...eventProcedures,
  ...qemu({
    domain_monitor_command: layout(
      struct({ dom: domain, cmd: string, flags: u32 }),
      struct({ result: string }),
    ),
    domain_agent_command: layout(
      struct({ dom: domain, cmd: string, timeout: i32, flags: u32 }),
      struct({ result: nullable(string) }),
    ),
  }),
};

export { nothing };

type Procedures = typeof procedures;
/** libvirt's name of a procedure, such as "domain_get_xml_desc". */
export type ProcedureName = keyof Procedures;
export type ArgumentsOf<Name extends ProcedureName> = Value<Procedures[Name]["args"]>;
export type ResultOf<Name extends ProcedureName> = Value<Procedures[Name]["result"]>;

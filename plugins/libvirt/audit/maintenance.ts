import type { Maintenance } from "../../../lib/engine/contract.ts";
import type { LibvirtEngine } from "../engine.ts";
import { recoverFolder } from "../lifecycle/recover-folder.ts";
import { audit } from "./audit.ts";
import { repair } from "./repair.ts";

export function maintenanceGroup(engine: LibvirtEngine): Maintenance {
  return {
    audit: (options, context) => audit(engine, options, context),
    repair: (finding, context, choice) => repair(engine, finding, context, choice),
    recover: (folder, context) => recoverFolder(engine, folder, context),
  };
}

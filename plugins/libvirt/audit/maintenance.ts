import type { Maintenance } from "../../../lib/engine/contract.ts";
import type { LibvirtEngine } from "../engine.ts";
import { mapped } from "../errors.ts";
import { recoverFolder } from "../lifecycle/recover-folder.ts";
import { audit } from "./audit.ts";
import { repair } from "./repair.ts";

export function maintenanceGroup(engine: LibvirtEngine): Maintenance {
  return {
    audit: (options, context) => mapped(() => audit(engine, options, context)),
    repair: (finding, context, choice) =>
      mapped(
        () => repair(engine, finding, context, choice),
        finding.instance === undefined ? {} : { name: finding.instance },
      ),
    recover: (folder, context) => mapped(() => recoverFolder(engine, folder, context)),
  };
}

import type { Networks } from "../../lib/backend/contract.ts";
import type { Engine } from "./engine.ts";
import { mapped } from "./errors.ts";
import { listNetworks } from "./placement.ts";

export function networkGroup(engine: Engine): Networks {
  return {
    list: () =>
      mapped(async () =>
        (await listNetworks(engine))
          .filter(({ managed, type }) => managed || type === "bridge")
          .map(({ name, type, description, config }) => ({
            name,
            type,
            description: description || config["ipv4.address"] || "",
          })),
      ),
  };
}

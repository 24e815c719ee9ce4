import type { LibvirtEngine } from "../engine.ts";
import { isLibvirt } from "../errors.ts";
import { DomainXmlFlags } from "../rpc/index.ts";
import { parse } from "../xml/document.ts";
import { placesOf } from "./places.ts";

/** The name of another domain that has the same file of UEFI variables; undefined if there is none. */
export async function findVariablesUser(
  engine: LibvirtEngine,
  variables: string,
  own: string,
): Promise<string | undefined> {
  for (const domain of await engine.connection.listDomains()) {
    if (domain.uuid === own) {
      continue;
    }
    try {
      const document = await parse(await domain.getXml(DomainXmlFlags.INACTIVE));
      if (placesOf(engine, document).variables === variables) {
        return domain.name;
      }
    } catch (error) {
      if (!isLibvirt(error, "NO_DOMAIN")) {
        throw error;
      }
    }
  }
  return undefined;
}

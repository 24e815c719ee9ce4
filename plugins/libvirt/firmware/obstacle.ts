import { lstat } from "node:fs/promises";
import { reasonOf } from "../../../lib/errors.ts";
import type { LibvirtEngine } from "../engine.ts";
import { isAbsent } from "../errors.ts";
import type { Element } from "../xml/document.ts";
import { readVariables } from "../xml/firmware.ts";
import { placesOf } from "./places.ts";
import { findVariablesUser } from "./users.ts";

/** Why snapshots of a domain could not have its UEFI variables; undefined if they can, or if it has none. */
export async function firmwareObstacle(
  engine: LibvirtEngine,
  document: Element,
  uuid: string,
): Promise<string | undefined> {
  const variables = readVariables(document);
  if (variables?.at === "elsewhere") {
    return `its UEFI variables must be in a file of their own, and are in ${variables.where}`;
  }
  const path = placesOf(engine, document).variables;
  if (path === undefined) {
    return undefined;
  }
  try {
    if (!(await lstat(path)).isFile()) {
      return `its UEFI variables must be in a plain file, and ${path} is not one`;
    }
  } catch (error) {
    // libvirt makes it when the domain starts for the first time.
    if (!isAbsent(error)) {
      return `its UEFI variables cannot be read: ${reasonOf(error)}`;
    }
  }
  const other = await findVariablesUser(engine, path, uuid);
  return other === undefined
    ? undefined
    : `its UEFI variables ${path} are also those of the domain ${other}; give that domain a file of its own`;
}

import { link, stat } from "node:fs/promises";
import { errnoOf, failure } from "../../../lib/errors.ts";
import { define, domainName, findDomain, type LibvirtEngine, type Managed } from "../engine.ts";
import { ENGINE, fileError } from "../errors.ts";
import { flushFolder } from "../qcow2/qemu-img.ts";
import { removeIfThere } from "../storage/durable-file.ts";
import { exists } from "../storage/pool.ts";
import { readVariables, setVariables } from "../xml/firmware.ts";
import { defaultVariables } from "./places.ts";

/**
 * libvirt names the file of UEFI variables after the domain, and leaves it under that name when the domain is
 * renamed: it would then start without its variables, and give them to the next domain of the old name. Moves the
 * file after a rename from `from`, as often as it is called. A file that is named otherwise stays.
 */
export async function moveVariables(engine: LibvirtEngine, managed: Managed, from: string): Promise<void> {
  const { document } = managed;
  const name = domainName(document);
  const variables = readVariables(document);
  if (variables === undefined || variables.at === "elsewhere" || name === from) {
    return;
  }
  const old = defaultVariables(engine, from, variables);
  const now = defaultVariables(engine, name, variables);
  if (variables.at === "file" && variables.path !== old) {
    return;
  }
  // Another domain has taken the old name since, and its variables.
  if ((await findDomain(engine, from)) !== null) {
    engine.log.warn(`${old} stays, since there is a domain "${from}" again`);
    return;
  }
  if (!(await moved(old, now))) {
    engine.log.warn(`${old} stays, since there is a ${now} already`);
    return;
  }
  if (variables.at === "file") {
    setVariables(document, now);
    await define(engine, document);
  }
}

/** Rejects a rename after which the instance would have variables that another domain has left. */
export async function requireVariablesFree(
  engine: LibvirtEngine,
  managed: Managed,
  to: string,
): Promise<void> {
  const { document, name } = managed;
  const variables = readVariables(document);
  if (variables === undefined || variables.at === "elsewhere") {
    return;
  }
  const now = defaultVariables(engine, to, variables);
  const follows = variables.at === "default" || variables.path === defaultVariables(engine, name, variables);
  if (follows && (await exists(now))) {
    throw failure("UNSUPPORTED", {
      what: `renaming "${name}" to "${to}"`,
      engine: ENGINE,
      reason: `there is already a file for the UEFI variables of a domain of that name, ${now}; move it away`,
    });
  }
}

/** Moves a file without replacing another; true if it is where it belongs, or there is none. */
async function moved(old: string, now: string): Promise<boolean> {
  if (!(await exists(old))) {
    return true;
  }
  try {
    await link(old, now).catch(async (error: unknown) => {
      // A move that was interrupted has left both names.
      if (errnoOf(error) !== "EEXIST" || (await stat(old)).ino !== (await stat(now)).ino) {
        throw error;
      }
    });
    await removeIfThere(old);
    await flushFolder(now);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") {
      return false;
    }
    throw fileError(error, old);
  }
}

import type { LibvirtEngine } from "../engine.ts";
import type { Element } from "../xml/document.ts";
import { readVariables, setVariables } from "../xml/firmware.ts";
import { apply } from "./apply.ts";
import { hasState, ownVariables, placesOf } from "./places.ts";
import { readState } from "./state.ts";

/** Has a copy of a domain keep its UEFI variables in a file of its own, in its instance's folder. */
export function separateVariables(copy: Element, folder: string): void {
  const variables = readVariables(copy);
  if (variables !== undefined && variables.at !== "elsewhere") {
    setVariables(copy, ownVariables(folder, variables.format));
  }
}

/** Gives a copy of an instance what the original's firmware remembers. */
export async function copyFirmware(
  engine: LibvirtEngine,
  original: Element,
  copy: Element | undefined,
): Promise<void> {
  const from = placesOf(engine, original);
  if (copy !== undefined && hasState(from)) {
    await apply(placesOf(engine, copy), await readState(from));
  }
}

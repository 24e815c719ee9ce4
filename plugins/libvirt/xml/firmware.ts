import type { Firmware } from "../../../lib/engine/contract.ts";
import { type Element, element, elements, find, prune, put, text } from "./document.ts";

/** Where a domain keeps the variables of its UEFI firmware. */
export type Variables =
  | { readonly at: "file"; readonly path: string; readonly format: string }
  /** The definition names no file: at each start, libvirt takes the one that is named after the domain. */
  | { readonly at: "default"; readonly format: string }
  /** Somewhere else than in a file of their own, which `where` describes. */
  | { readonly at: "elsewhere"; readonly where: string };

/** A TPM of a domain. */
export interface Tpm {
  /** "1.2" or "2.0". */
  readonly version: string;
  /** Where an emulated one keeps its state; undefined for libvirt's own folder. */
  readonly path?: string;
  /** True for the emulator, whose state is in files of this host. */
  readonly emulated: boolean;
}

/** The firmware that a domain boots with; undefined if its definition does not say. */
export function readFirmware(domain: Element): Firmware | undefined {
  const os = find(domain, "os");
  const loader = find(os, "loader");
  if (os?.attributes.firmware === "efi") {
    const secure = elements(find(os, "firmware"), "feature").some(
      ({ attributes: { name, enabled } }) => name === "secure-boot" && enabled === "yes",
    );
    return secure || loader?.attributes.secure === "yes" ? "uefi-secure" : "uefi";
  }
  if (loader?.attributes.type === "pflash") {
    return loader.attributes.secure === "yes" ? "uefi-secure" : "uefi";
  }
  const arch = find(os, "type")?.attributes.arch ?? "";
  return loader === undefined && /^(x86_64|i686)$/.test(arch) ? "bios" : undefined;
}

/** Where the domain keeps its UEFI variables; undefined if it has none that last. */
export function readVariables(domain: Element): Variables | undefined {
  const os = find(domain, "os");
  const loader = find(os, "loader");
  const flash = os?.attributes.firmware === "efi" || loader?.attributes.type === "pflash";
  const nvram = find(os, "nvram");
  if (!flash || loader?.attributes.stateless === "yes") {
    return undefined;
  }
  const format = nvram?.attributes.format ?? loader?.attributes.format ?? "raw";
  const { type = "file" } = nvram?.attributes ?? {};
  if (type !== "file") {
    return { at: "elsewhere", where: `a source of type ${type}` };
  }
  const path = find(nvram, "source")?.attributes.file ?? text(nvram).trim();
  if (path !== "") {
    return { at: "file", path, format };
  }
  if (loader !== undefined && nvram === undefined && loader.attributes.readonly === "no") {
    return { at: "elsewhere", where: "the file of the firmware itself" };
  }
  return { at: "default", format };
}

/** Has the domain keep its UEFI variables in that file, made from the same template. */
export function setVariables(domain: Element, path: string): void {
  const os = find(domain, "os");
  if (os === undefined) {
    return;
  }
  const { type: _, ...attributes } = find(os, "nvram")?.attributes ?? {};
  put(os, element("nvram", attributes, path));
}

/** Has the domain keep its UEFI variables where another definition of it says, if both have some. */
export function keepVariables(domain: Element, present: Element): void {
  const [here, there] = [readVariables(domain), readVariables(present)];
  const os = find(domain, "os");
  if (here === undefined || there === undefined || os === undefined) {
    return;
  }
  if (there.at === "file") {
    setVariables(domain, there.path);
  } else if (there.at === "default") {
    prune(os, ({ name }) => name === "nvram");
  }
}

/** The TPM of a domain; undefined if it has none. */
export function readTpm(domain: Element): Tpm | undefined {
  const backend = find(domain, "devices", "tpm", "backend");
  if (backend === undefined) {
    return undefined;
  }
  const path = find(backend, "source")?.attributes.path;
  return {
    version: backend.attributes.version ?? "2.0",
    ...(path === undefined ? {} : { path }),
    emulated: backend.attributes.type === "emulator",
  };
}

/** The elements that make a new domain boot that firmware, with its variables in a file of their own. */
export function putFirmware(domain: Element, kind: Firmware, variables: string): void {
  const os = find(domain, "os");
  if (kind === "bios" || os === undefined) {
    return;
  }
  os.attributes.firmware = "efi";
  const enabled = kind === "uefi-secure" ? "yes" : "no";
  const features = ["secure-boot", "enrolled-keys"].map((name) => element("feature", { enabled, name }));
  put(os, element("firmware", {}, ...features));
  put(os, element("nvram", {}, variables));
  const hypervisor = find(domain, "features");
  if (kind === "uefi-secure" && hypervisor !== undefined) {
    put(hypervisor, element("smm", { state: "on" }));
  }
}

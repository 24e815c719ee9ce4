import { basename, dirname, join } from "node:path";
import { domainName, type LibvirtEngine } from "../engine.ts";
import { qemuFolder } from "../storage/qemu-folder.ts";
import { type Element, find, text } from "../xml/document.ts";
import { readTpm, readVariables } from "../xml/firmware.ts";

/** Names of files with UEFI variables in an instance's folder, and of one that libvirt is writing. */
const VARIABLES_NAME = /^variables\.(?:fd|qcow2)(?:\.new)?$/;

/** The files on this host in which a domain's firmware keeps what it must remember. */
export interface Places {
  /** Its UEFI variables; absent if it has none. */
  readonly variables?: string;
  /** The folder with the state of its emulated TPM, or the file; absent if it has none. */
  readonly tpm?: string;
}

/** Where the firmware of a domain keeps its state. Empty for one that keeps none. */
export function placesOf(engine: Pick<LibvirtEngine, "session">, domain: Element): Places {
  const variables = readVariables(domain);
  const tpm = readTpm(domain);
  return {
    ...(variables === undefined || variables.at === "elsewhere"
      ? {}
      : {
          variables:
            variables.at === "file"
              ? variables.path
              : defaultVariables(engine, domainName(domain), variables),
        }),
    ...(tpm?.emulated === true ? { tpm: tpm.path ?? tpmFolder(engine, domain, tpm) } : {}),
  };
}

export function hasState({ variables, tpm }: Places): boolean {
  return variables !== undefined || tpm !== undefined;
}

/** Where libvirt keeps the variables of a domain whose definition does not say. */
export function defaultVariables(
  engine: Pick<LibvirtEngine, "session">,
  name: string,
  { format }: { readonly format: string },
): string {
  return join(qemuFolder(engine), "nvram", `${name}_VARS.${format === "qcow2" ? "qcow2" : "fd"}`);
}

/** Where libvirt keeps the state of emulated TPMs, in a folder for each domain. */
export function tpmRoot(engine: Pick<LibvirtEngine, "session">): string {
  return engine.session ? join(qemuFolder(engine), "swtpm") : "/var/lib/libvirt/swtpm";
}

function tpmFolder(
  engine: Pick<LibvirtEngine, "session">,
  domain: Element,
  { version }: { readonly version: string },
): string {
  return join(tpmRoot(engine), text(find(domain, "uuid")), version === "1.2" ? "tpm1.2" : "tpm2");
}

/** The file in an instance's folder for variables in that format. */
export function ownVariables(folder: string, format = "raw"): string {
  return join(folder, `variables.${format === "qcow2" ? "qcow2" : "fd"}`);
}

/** True for the name of a file beside which `apply` writes variables before it puts them into place. */
export function isStagedVariables(name: string): boolean {
  const [, staged = ""] = /^\.(.+)\.strata-new$/.exec(name) ?? [];
  return isVariablesName(staged);
}

/** True for the name of a file in an instance's folder that strata had libvirt keep variables in. */
export function isVariablesName(name: string): boolean {
  return VARIABLES_NAME.test(name);
}

/** True if the variables are in an instance's own folder. */
export function isOwnVariables(folder: string, path: string): boolean {
  return dirname(path) === folder && isVariablesName(basename(path));
}

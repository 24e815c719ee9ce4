import { domainName, type LibvirtEngine, type Managed } from "../engine.ts";
import { UndefineFlags } from "../rpc/index.ts";
import { readTpm } from "../xml/firmware.ts";
import { defaultVariables, isOwnVariables, placesOf } from "./places.ts";
import { findVariablesUser } from "./users.ts";

/**
 * What an undefinition removes of the state of an instance's firmware. That of an adopted domain stays, like its
 * disk. Otherwise only what is certainly the instance's own goes: variables in its folder, or those that libvirt has
 * named after it and that no other domain uses; and libvirt's folder for the TPM with its UUID.
 */
export async function firmwareFlags(engine: LibvirtEngine, managed: Managed): Promise<number> {
  if (managed.metadata.adopted !== undefined) {
    return UndefineFlags.KEEP_NVRAM | UndefineFlags.KEEP_TPM;
  }
  const { variables } = placesOf(engine, managed.document);
  const own = variables === undefined || (await isOwn(engine, managed, variables));
  if (!own) {
    engine.log.warn(`${variables} stays, since the UEFI variables in it may be another's`);
  }
  const elsewhere = readTpm(managed.document)?.path !== undefined;
  return (
    (own ? UndefineFlags.NVRAM : UndefineFlags.KEEP_NVRAM) |
    (elsewhere ? UndefineFlags.KEEP_TPM : UndefineFlags.TPM)
  );
}

async function isOwn(engine: LibvirtEngine, managed: Managed, variables: string): Promise<boolean> {
  const { metadata, document, domain } = managed;
  if (isOwnVariables(metadata.folder, variables)) {
    return true;
  }
  const named = ["raw", "qcow2"].map((format) => defaultVariables(engine, domainName(document), { format }));
  return named.includes(variables) && (await findVariablesUser(engine, variables, domain.uuid)) === undefined;
}

import type { Firmware } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import type { LibvirtEngine } from "../engine.ts";
import { ENGINE } from "../errors.ts";
import { type Element, elements, find, parse, text } from "../xml/document.ts";
import { type Machine, newMachine } from "../xml/domain.ts";

/** Debian's packages of UEFI firmware, by architecture. */
const PACKAGES: Readonly<Record<string, string>> = { x86_64: "ovmf", aarch64: "qemu-efi-aarch64" };

/** What new domains can boot with, each that cannot with the reason. */
export type FirmwareSupport = ReadonlyMap<Firmware, string | null>;

/** Asks libvirt which firmware it finds on this host, where packages describe theirs. */
export async function probeFirmware({
  connection,
  host,
}: Pick<LibvirtEngine, "connection" | "host">): Promise<FirmwareSupport> {
  const machine = newMachine(await host());
  return readSupport(await parse(await connection.domainCapabilities(machine)), machine);
}

/** What the capabilities of a machine say. */
export function readSupport(capabilities: Element, { arch = "" }: Machine): FirmwareSupport {
  const os = find(capabilities, "os");
  const efi = valuesOf(os, "firmware").includes("efi");
  const secure = efi && valuesOf(find(os, "loader"), "secure").includes("yes");
  const name = PACKAGES[arch] ?? "the package with UEFI for this architecture";
  const install = `this host has no UEFI firmware for virtual machines: \`apt-get install ${name}\``;
  const unsigned = efi ? "the UEFI firmware of this host has no Secure Boot" : install;
  return new Map<Firmware, string | null>([
    ["bios", arch === "x86_64" ? null : `virtual machines of ${arch} have no BIOS`],
    ["uefi", efi ? null : install],
    ["uefi-secure", secure ? null : unsigned],
  ]);
}

function valuesOf(of: Element | undefined, name: string): string[] {
  const found = elements(of, "enum").find(({ attributes }) => attributes.name === name);
  return elements(found, "value").map(text);
}

/** Rejects what no domain on this host can boot with. */
export async function requireFirmware(engine: LibvirtEngine, wanted: Firmware | undefined): Promise<void> {
  const reason = wanted === undefined ? null : (await engine.firmware()).get(wanted);
  if (typeof reason === "string") {
    throw failure("UNSUPPORTED", { what: `the firmware ${wanted}`, engine: ENGINE, reason });
  }
}

import type { Nic, Resources } from "../../../lib/engine/contract.ts";
import { logConsole, serialElement, unlogConsole } from "./console.ts";
import { addDisk, DEFAULT_TARGET, diskElement, freeTarget, removeDisk, setDisks } from "./disks.ts";
import { copy, type Element, element, elements, find, prune, put } from "./document.ts";
import { shareMemory } from "./filesystem.ts";
import { type Metadata, putMetadata } from "./metadata.ts";
import { resourceElements } from "./resources.ts";

const SEED_DISK = "vdb";
/**
 * PCI Express ports of a new domain. Plugging a device into a running guest needs a free one; libvirt adds
 * only one by itself, and strata's own devices use seven.
 */
const PORTS = 12;
const QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0";
const SESSION_NETDEV = "strata0";

export interface DomainSpec {
  readonly name: string;
  readonly uuid: string;
  readonly metadata: Metadata;
  readonly resources: Omit<Resources, "disk">;
  readonly disk: string;
  readonly seed: string;
  /** Files of further disks. */
  readonly extraDisks?: readonly string[];
  /** Of an image for a CD drive; with one the domain has a screen too, and boots from it while its disk is empty. */
  readonly cdrom?: string;
  /** Where what the guest writes on its serial console is kept. */
  readonly consoleLog: string;
  readonly mac: string;
  readonly accelerator: "kvm" | "tcg";
  readonly arch: string;
  /** A libvirt network, or user-mode networking with a port of the host forwarded to the guest's sshd. */
  readonly network:
    | { readonly kind: "network"; readonly name: string }
    | { readonly kind: "user"; readonly port: number };
  /** Further interfaces. */
  readonly nics: readonly Nic[];
}

/** The machine of a domain, in libvirt's terms. Where a member is absent, libvirt chooses. */
export interface Machine {
  readonly virtType?: string;
  readonly arch?: string;
  readonly machine?: string;
}

/** The machine of new domains on a host. */
export function newMachine({ accelerator, arch }: Pick<DomainSpec, "accelerator" | "arch">) {
  return {
    virtType: accelerator === "kvm" ? "kvm" : "qemu",
    arch,
    machine: arch === "x86_64" ? "q35" : "virt",
  } satisfies Machine;
}

/** The machine of a domain. */
export function readMachine(domain: Element): Machine {
  const { arch, machine } = find(domain, "os", "type")?.attributes ?? {};
  return {
    ...(domain.attributes.type === undefined ? {} : { virtType: domain.attributes.type }),
    ...(arch === undefined ? {} : { arch }),
    ...(machine === undefined ? {} : { machine }),
  };
}

/** The document of a new domain. */
export function domainDocument(spec: DomainSpec): Element {
  const { network } = spec;
  const { virtType, arch, machine } = newMachine(spec);
  const domain = element(
    "domain",
    { type: virtType },
    element("name", {}, spec.name),
    element("uuid", {}, spec.uuid),
    element("metadata"),
    ...resourceElements(spec.resources),
    element(
      "os",
      {},
      element("type", { arch, machine }, "hvm"),
      element("boot", { dev: "hd" }),
      spec.cdrom === undefined ? undefined : element("boot", { dev: "cdrom" }),
    ),
    element("features", {}, element("acpi"), spec.arch === "x86_64" ? element("apic") : undefined),
    element("cpu", { mode: spec.accelerator === "kvm" ? "host-passthrough" : "maximum" }),
    element("clock", { offset: "utc" }),
    element("on_poweroff", {}, "destroy"),
    element("on_reboot", {}, "restart"),
    element("on_crash", {}, "destroy"),
    element(
      "devices",
      {},
      diskElement(spec.disk, DEFAULT_TARGET, "virtio"),
      element(
        "disk",
        { type: "file", device: "disk" },
        element("driver", { name: "qemu", type: "raw" }),
        element("source", { file: spec.seed }),
        element("target", { dev: SEED_DISK, bus: "virtio" }),
        element("readonly"),
      ),
      ...(spec.cdrom === undefined ? [] : installerElements(spec.cdrom, spec.arch)),
      network.kind === "network" ? interfaceElement({ mac: spec.mac, network: network.name }) : undefined,
      ...spec.nics.map(interfaceElement),
      serialElement(spec.consoleLog),
      element("console", { type: "pty" }),
      element(
        "channel",
        { type: "unix" },
        element("target", { type: "virtio", name: "org.qemu.guest_agent.0" }),
      ),
      element("rng", { model: "virtio" }, element("backend", { model: "random" }, "/dev/urandom")),
      element("memballoon", { model: "virtio" }),
      ...Array.from({ length: PORTS }, (_, at) =>
        element("controller", { type: "pci", index: at + 1, model: "pcie-root-port" }),
      ),
    ),
  );
  if (network.kind === "user") {
    putForward(domain, spec.mac, network.port);
  }
  // It cannot be added to a running guest, and a folder may be mounted at any time.
  shareMemory(domain);
  putMetadata(domain, spec.metadata);
  for (const file of spec.extraDisks ?? []) {
    addDisk(domain, freeTarget(domain), file);
  }
  return domain;
}

/** A CD drive, and what people need for an installer: a screen, whose socket libvirt gives to its own users alone. */
function installerElements(cdrom: string, arch: string): Element[] {
  const pc = arch === "x86_64";
  return [
    element(
      "disk",
      { type: "file", device: "cdrom" },
      element("driver", { name: "qemu", type: "raw" }),
      element("source", { file: cdrom }),
      element("target", { dev: "sda", bus: pc ? "sata" : "scsi" }),
      element("readonly"),
    ),
    element("graphics", { type: "vnc" }, element("listen", { type: "socket" })),
    element("video", {}, element("model", { type: pc ? "vga" : "virtio" })),
    // A pointer that is where the viewer's is.
    element("input", { type: "tablet", bus: "usb" }),
    ...(pc ? [] : [element("input", { type: "keyboard", bus: "usb" })]),
  ];
}

function interfaceElement({ mac, network }: Nic): Element {
  return element(
    "interface",
    { type: "network" },
    element("mac", { address: mac }),
    element("source", { network }),
    element("model", { type: "virtio" }),
  );
}

/** Adds an interface on a libvirt network after the existing ones. */
export function addInterface(domain: Element, nic: Nic): void {
  find(domain, "devices")?.children.push(interfaceElement(nic));
}

/**
 * User-mode networking with a forwarded port. libvirt 9 has no element for the forward, so it is passed on
 * QEMU's command line, at a slot that libvirt does not use.
 */
function putForward(domain: Element, mac: string, port: number): void {
  domain.attributes["xmlns:qemu"] = QEMU_NAMESPACE;
  const netdev = `user,id=${SESSION_NETDEV},hostfwd=tcp:127.0.0.1:${port}-:22`;
  const device = `virtio-net-pci,netdev=${SESSION_NETDEV},mac=${mac},addr=0x1e`;
  const args = ["-netdev", netdev, "-device", device];
  put(domain, element("qemu:commandline", {}, ...args.map((value) => element("qemu:arg", { value }))));
}

/** Changes the port of `putForward`, and leaves other arguments alone. */
export function setForwardedPort(domain: Element, port: number): void {
  replaceArgument(
    domain,
    `user,id=${SESSION_NETDEV},`,
    /hostfwd=tcp:127\.0\.0\.1:\d+-:22/,
    `hostfwd=tcp:127.0.0.1:${port}-:22`,
  );
}

function replaceArgument(domain: Element, prefix: string, pattern: RegExp, replacement: string): void {
  for (const { attributes } of elements(find(domain, "qemu:commandline"), "qemu:arg")) {
    if (attributes.value?.startsWith(prefix)) {
      attributes.value = attributes.value.replace(pattern, replacement);
    }
  }
}

/** The interfaces on libvirt networks, in document order. */
export function readInterfaces(domain: Element): Nic[] {
  return elements(find(domain, "devices"), "interface").flatMap((nic) => {
    const mac = find(nic, "mac")?.attributes.address;
    const network = find(nic, "source")?.attributes.network;
    return mac === undefined || network === undefined ? [] : [{ mac, network }];
  });
}

/** MAC addresses of all interfaces, that of user-mode networking included, in document order. */
export function readMacs(domain: Element): string[] {
  const own = elements(find(domain, "qemu:commandline"), "qemu:arg").flatMap(
    ({ attributes }) => /^virtio-net-pci,.*mac=([0-9a-f:]+)/.exec(attributes.value ?? "")?.[1] ?? [],
  );
  const interfaces = elements(find(domain, "devices"), "interface");
  return [...own, ...interfaces.flatMap((nic) => find(nic, "mac")?.attributes.address ?? [])];
}

export interface CloneDocumentSpec {
  readonly name: string;
  readonly uuid: string;
  readonly metadata: Metadata;
  /** The files of the disks, by their targets. */
  readonly disks: ReadonlyMap<string, string>;
  /** Targets of the disks that the copy lacks. */
  readonly without: readonly string[];
  /** Absolute paths. */
  readonly seed: { readonly old: string; readonly new: string };
  /** The original's own CD-ROM, absolute; the copy's drive is empty. */
  readonly cdrom: string;
  readonly consoleLog: string;
  newMac(): string;
}

/** A copy of the domain with its own name, UUID, addresses, disk, seed and metadata. */
export function clonedDomain(original: Element, spec: CloneDocumentSpec): Element {
  const domain = copy(original);
  put(domain, element("name", {}, spec.name));
  put(domain, element("uuid", {}, spec.uuid));
  prune(domain, ({ name }) => name === "genid");
  for (const device of elements(find(domain, "devices"))) {
    if (device.name === "interface") {
      put(device, element("mac", { address: spec.newMac() }));
    }
    const source = find(device, "source");
    if (source?.attributes.file === spec.seed.old) {
      source.attributes.file = spec.seed.new;
    }
    if (source?.attributes.file === spec.cdrom) {
      prune(device, ({ name }) => name === "source");
    }
  }
  // The original's would be written by both.
  unlogConsole(domain);
  logConsole(domain, spec.consoleLog);
  const { sshPort } = spec.metadata;
  if (sshPort !== undefined) {
    setForwardedPort(domain, sshPort);
    replaceArgument(
      domain,
      `virtio-net-pci,netdev=${SESSION_NETDEV},`,
      /mac=[0-9a-f:]+/,
      `mac=${spec.newMac()}`,
    );
  }
  for (const target of spec.without) {
    removeDisk(domain, target);
  }
  setDisks(domain, spec.disks);
  putMetadata(domain, spec.metadata);
  return domain;
}

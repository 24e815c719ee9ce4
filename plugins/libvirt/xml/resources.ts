import type { Resources } from "../../../lib/engine/contract.ts";
import { formatSize } from "../../../lib/size/format.ts";
import { type Element, element, elements, find, put, text } from "./document.ts";

/** CPUs, and memory in bytes. */
export type CpusAndMemory = Pick<Resources, "cpus" | "memory">;

const UNITS: Readonly<Record<string, bigint>> = {
  b: 1n,
  bytes: 1n,
  KB: 1000n,
  k: 1024n,
  KiB: 1024n,
  MB: 1000n ** 2n,
  M: 1024n ** 2n,
  MiB: 1024n ** 2n,
  GB: 1000n ** 3n,
  G: 1024n ** 3n,
  GiB: 1024n ** 3n,
  TB: 1000n ** 4n,
  T: 1024n ** 4n,
  TiB: 1024n ** 4n,
};

/** How far libvirt may round memory up, bytes. */
const ROUNDING = 2n * 1024n ** 2n;
const ROUNDING_PPC64 = 256n * 1024n ** 2n;

/** What the guest has when it starts, which may be less than what could be plugged into it or given back to it. */
export function readResources(domain: Element): CpusAndMemory {
  const { current, most } = readCpus(domain);
  return { cpus: current || most || 1, memory: sizeOf(find(domain, "currentMemory")) ?? readMemory(domain) };
}

/** The elements of a new domain. */
export function resourceElements({ cpus, memory }: CpusAndMemory): Element[] {
  return [memoryElement("memory", memory), memoryElement("currentMemory", memory), vcpuElement(cpus)];
}

/**
 * Sets CPUs and memory, and leaves everything else alone: CPUs that can be plugged in, memory that is given back,
 * topology, NUMA nodes, pinning. Returns why that cannot be; the document is then as it was.
 */
export function setResources(domain: Element, change: Partial<CpusAndMemory>): string | undefined {
  const { cpus, memory } = change;
  const now = readResources(domain);
  const setsCpus = cpus !== undefined && cpus !== now.cpus;
  const setsMemory = memory !== undefined && memory !== now.memory;
  const obstacle =
    (setsCpus ? cpuObstacle(domain, cpus) : undefined) ??
    (setsMemory ? memoryObstacle(domain, memory) : undefined);
  if (obstacle !== undefined) {
    return obstacle;
  }
  if (setsCpus) {
    setCpus(domain, cpus);
  }
  if (setsMemory) {
    setMemory(domain, memory);
  }
  return undefined;
}

/** True if libvirt has taken what was set: it may round memory up, and corrects some values without a word. */
export function isTaken(domain: Element, wanted: Partial<CpusAndMemory>): boolean {
  const { cpus, memory } = readResources(domain);
  const arch = find(domain, "os", "type")?.attributes.arch ?? "";
  const more = memory - (wanted.memory ?? memory);
  return (
    (wanted.cpus === undefined || wanted.cpus === cpus) &&
    more >= 0n &&
    more < (arch.startsWith("ppc64") ? ROUNDING_PPC64 : ROUNDING)
  );
}

function readCpus(domain: Element): { readonly current: number; readonly most: number } {
  const vcpu = find(domain, "vcpu");
  const most = Number(text(vcpu)) || 1;
  return { current: Number(vcpu?.attributes.current ?? most) || most, most };
}

function cpuObstacle(domain: Element, cpus: number): string | undefined {
  if (find(domain, "vcpus") !== undefined) {
    return "its definition lists its CPUs one by one (vcpus); change it with virsh edit";
  }
  const { most } = readCpus(domain);
  if (cpus <= most) {
    return undefined;
  }
  const topology = find(domain, "cpu", "topology")?.attributes;
  if (topology !== undefined) {
    const { sockets = "1", dies = "1", clusters = "1", cores = "1", threads = "1" } = topology;
    const parts = [sockets, ...[dies, clusters].filter((count) => count !== "1"), cores, threads];
    return `its CPU topology (${parts.join(" × ")}) has ${most} CPUs; change that with virsh edit`;
  }
  if (numaCells(domain).length > 0) {
    return `its NUMA nodes have ${most} CPUs between them; change them with virsh edit`;
  }
  return undefined;
}

/**
 * Where something refers to CPUs by their numbers, or more can be plugged in, those that are not used stay in the
 * definition.
 */
function setCpus(domain: Element, cpus: number): void {
  const { most } = readCpus(domain);
  const vcpu = find(domain, "vcpu");
  const { current, ...attributes } = vcpu?.attributes ?? {};
  const kept = current !== undefined || hasNumberedCpus(domain);
  const made =
    kept && cpus <= most
      ? element("vcpu", { ...attributes, current: cpus === most ? undefined : cpus }, String(most))
      : element("vcpu", attributes, String(cpus));
  put(domain, made);
}

function hasNumberedCpus(domain: Element): boolean {
  const numbered = elements(find(domain, "cputune")).some(
    ({ attributes }) => attributes.vcpu !== undefined || attributes.vcpus !== undefined,
  );
  return numbered || find(domain, "cpu", "topology") !== undefined || numaCells(domain).length > 0;
}

/** The whole memory, as the guest starts with it before it gives some back. */
function readMemory(domain: Element): bigint {
  return sizeOf(find(domain, "memory")) ?? 0n;
}

function memoryObstacle(domain: Element, memory: bigint): string | undefined {
  const whole = readMemory(domain);
  const current = sizeOf(find(domain, "currentMemory")) ?? whole;
  if (current < whole && memory <= whole) {
    return undefined;
  }
  if (numaCells(domain).length > 0) {
    return `its memory of ${formatSize(whole)} is divided among NUMA nodes; change them with virsh edit`;
  }
  if (find(domain, "devices", "memory") !== undefined) {
    return "part of its memory is in devices of their own; change them with virsh edit";
  }
  const limits = [
    ["maxMemory, up to which memory can be plugged in,", sizeOf(find(domain, "maxMemory"))],
    ["hard limit (memtune)", sizeOf(find(domain, "memtune", "hard_limit"))],
  ] as const;
  for (const [what, limit] of limits) {
    if (limit !== undefined && memory > limit) {
      return `its ${what} is ${formatSize(limit)}; change that with virsh edit`;
    }
  }
  return undefined;
}

function setMemory(domain: Element, memory: bigint): void {
  const whole = readMemory(domain);
  const current = sizeOf(find(domain, "currentMemory")) ?? whole;
  if (current === whole || memory > whole) {
    putMemory(domain, "memory", memory);
  }
  putMemory(domain, "currentMemory", memory);
}

function putMemory(domain: Element, name: "memory" | "currentMemory", bytes: bigint): void {
  const { unit: _, ...attributes } = find(domain, name)?.attributes ?? {};
  const made = memoryElement(name, bytes);
  put(domain, { ...made, attributes: { ...attributes, ...made.attributes } });
}

function memoryElement(name: "memory" | "currentMemory", bytes: bigint): Element {
  return element(name, { unit: "b" }, String(bytes));
}

function vcpuElement(cpus: number): Element {
  return element("vcpu", {}, String(cpus));
}

function numaCells(domain: Element): Element[] {
  return elements(find(domain, "cpu", "numa"), "cell");
}

/** Bytes; undefined for an element that is not there, or has no number. */
function sizeOf(of: Element | undefined): bigint | undefined {
  const digits = /^\s*(\d+)\s*$/.exec(text(of))?.[1];
  return digits === undefined ? undefined : BigInt(digits) * (UNITS[of?.attributes.unit ?? "KiB"] ?? 1024n);
}

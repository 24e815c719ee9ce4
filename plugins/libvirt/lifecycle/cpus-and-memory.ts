import { failure } from "../../../lib/errors.ts";
import { formatSize } from "../../../lib/size/format.ts";
import { define, type LibvirtEngine, type Managed } from "../engine.ts";
import { ENGINE } from "../errors.ts";
import { DomainXmlFlags } from "../rpc/index.ts";
import { copy, type Element, parse } from "../xml/document.ts";
import { readMachine } from "../xml/domain.ts";
import { type CpusAndMemory, isTaken, readResources, setResources } from "../xml/resources.ts";
import { requireAttainable } from "./limits.ts";

/**
 * The definition with other CPUs and memory. Rejects what cannot be had, and what could only be had by changing
 * something else that the owner of the domain has chosen.
 */
export async function planCpusAndMemory(
  engine: LibvirtEngine,
  { name, document }: Managed,
  change: Partial<CpusAndMemory>,
): Promise<Element> {
  await requireAttainable(engine, readMachine(document), change);
  const planned = copy(document);
  const obstacle = setResources(planned, change);
  if (obstacle !== undefined) {
    throw refusal(name, change, obstacle);
  }
  return planned;
}

/** Defines the domain anew. Rejects unless libvirt has taken the change, and leaves the definition as it was then. */
export async function defineCpusAndMemory(
  engine: LibvirtEngine,
  { name, domain, document }: Managed,
  planned: Element,
  change: Partial<CpusAndMemory>,
): Promise<void> {
  await define(engine, planned);
  if (change.cpus === undefined && change.memory === undefined) {
    return;
  }
  const defined = await parse(await domain.getXml(DomainXmlFlags.INACTIVE));
  if (!isTaken(defined, change)) {
    await define(engine, document);
    const { cpus, memory } = readResources(defined);
    throw refusal(name, change, `libvirt makes it ${cpus} CPUs and ${formatSize(memory)} of memory`);
  }
}

function refusal(name: string, { cpus, memory }: Partial<CpusAndMemory>, reason: string) {
  const wanted = [
    ...(cpus === undefined ? [] : [`${cpus} CPUs`]),
    ...(memory === undefined ? [] : [`${formatSize(memory)} of memory`]),
  ];
  return failure("UNSUPPORTED", { what: `giving "${name}" ${wanted.join(" and ")}`, engine: ENGINE, reason });
}

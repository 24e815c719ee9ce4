import { create, type XMLElement } from "xmlbuilder";
import { readDocument } from "./reader.ts";

/**
 * An XML element that keeps what strata does not understand: attributes, order of children, and text as they
 * were read. xml2js reads it (its own Builder loses the order between different names), xmlbuilder writes and
 * escapes it. Comments are dropped, as libvirt does.
 */
export interface Element {
  readonly name: string;
  readonly attributes: Record<string, string>;
  /** Elements and text in document order; text between elements of an element is not kept. */
  readonly children: (Element | string)[];
}

/**
 * Recently read documents, oldest first: an operation reads the same domain several times, and parsing takes
 * longer than libvirt takes to answer.
 */
const recent = new Map<string, Element>();
const CACHE_SIZE = 64;

/** Parses a document. Rejects with xml2js's error if it is not well formed. */
export async function parse(xml: string): Promise<Element> {
  const known = recent.get(xml);
  const document = known ?? (await readDocument(xml));
  recent.delete(xml);
  recent.set(xml, document);
  const [oldest] = recent.keys();
  if (recent.size > CACHE_SIZE && oldest !== undefined) {
    recent.delete(oldest);
  }
  // The caller may change it.
  return copy(document);
}

/** Serializes a document without an XML declaration, with everything escaped. */
export function serialize(element: Element): string {
  const root = create(element.name, { headless: true });
  fill(root, element);
  return root.end({ pretty: false });
}

function fill(target: XMLElement, element: Element): void {
  for (const [name, value] of Object.entries(element.attributes)) {
    target.attribute(name, value);
  }
  for (const child of element.children) {
    if (typeof child === "string") {
      target.text(child);
    } else {
      fill(target.element(child.name), child);
    }
  }
}

/** Creates an element; undefined children are left out. */
export function element(
  name: string,
  attributes: Readonly<Record<string, string | number | bigint | undefined>> = {},
  ...children: readonly (Element | string | undefined)[]
): Element {
  const kept: Record<string, string> = {};
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined) {
      kept[key] = String(value);
    }
  }
  return { name, attributes: kept, children: children.filter((child) => child !== undefined) };
}

/** The child elements, optionally only those with a name. */
export function elements(parent: Element | undefined, name?: string): Element[] {
  if (parent === undefined) {
    return [];
  }
  return parent.children.filter(
    (child): child is Element => typeof child !== "string" && (name === undefined || child.name === name),
  );
}

/** The first element down a path of names. */
export function find(parent: Element | undefined, ...path: readonly string[]): Element | undefined {
  return path.reduce<Element | undefined>((at, name) => elements(at, name)[0], parent);
}

/** Text of an element; "" if it has none or does not exist. */
export function text(of: Element | undefined): string {
  return of === undefined ? "" : of.children.filter((child) => typeof child === "string").join("");
}

/** Replaces the first child of the same name, or adds the child at the end. */
export function put(parent: Element, child: Element): void {
  const at = parent.children.findIndex((old) => typeof old !== "string" && old.name === child.name);
  if (at === -1) {
    parent.children.push(child);
  } else {
    parent.children[at] = child;
  }
}

/** Removes every child element that passes the test. */
export function prune(parent: Element, test: (child: Element) => boolean): void {
  const kept = parent.children.filter((child) => typeof child === "string" || !test(child));
  parent.children.splice(0, parent.children.length, ...kept);
}

/** A deep copy. */
export function copy(of: Element): Element {
  return {
    name: of.name,
    attributes: { ...of.attributes },
    children: of.children.map((child) => (typeof child === "string" ? child : copy(child))),
  };
}

/** The same element with another name. */
export function renamed(of: Element, name: string): Element {
  return { name, attributes: of.attributes, children: of.children };
}

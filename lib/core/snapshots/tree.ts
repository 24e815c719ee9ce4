/** The minimum that a snapshot needs to have a place in a tree. */
export interface Node {
  readonly name: string;
  readonly parent: string | null;
}

/** Names of the children, in the order of the list. */
export function childrenOf(nodes: readonly Node[], name: string | null): string[] {
  return nodes.filter((node) => node.parent === name).map((node) => node.name);
}

export interface Branch {
  readonly name: string;
  readonly children: readonly Branch[];
}

/** The forest that the parents define. A node whose parent is not in the list is a root. */
export function forest(nodes: readonly Node[]): Branch[] {
  const names = new Set(nodes.map((node) => node.name));
  const below = new Map<string | null, string[]>();
  for (const { name, parent } of nodes) {
    const key = parent !== null && names.has(parent) ? parent : null;
    const siblings = below.get(key);
    if (siblings === undefined) {
      below.set(key, [name]);
    } else {
      siblings.push(name);
    }
  }
  const grow = (name: string): Branch => ({ name, children: (below.get(name) ?? []).map(grow) });
  return (below.get(null) ?? []).map(grow);
}

import { isCode } from "../error-test.ts";
import type { DomainSnapshotHandle } from "../structures.ts";
import type { Domain } from "./domain.ts";

/** A snapshot of a domain. */
export class DomainSnapshot {
  readonly domain: Domain;
  readonly name: string;

  constructor(domain: Domain, name: string) {
    this.domain = domain;
    this.name = name;
  }

  private get snap(): { snap: DomainSnapshotHandle } {
    return { snap: { name: this.name, dom: this.domain.handle } };
  }

  async getXml(flags = 0): Promise<string> {
    return (await this.domain.connection.call("domain_snapshot_get_xml_desc", { ...this.snap, flags })).xml;
  }

  async getParent(): Promise<DomainSnapshot | null> {
    try {
      const { snap } = await this.domain.connection.call("domain_snapshot_get_parent", {
        ...this.snap,
        flags: 0,
      });
      return new DomainSnapshot(this.domain, snap.name);
    } catch (error) {
      if (isCode(error, "NO_DOMAIN_SNAPSHOT")) return null;
      throw error;
    }
  }

  async isCurrent(): Promise<boolean> {
    return (
      (await this.domain.connection.call("domain_snapshot_is_current", { ...this.snap, flags: 0 }))
        .current !== 0
    );
  }

  async listChildren(flags = 0): Promise<DomainSnapshot[]> {
    const args = { snapshot: this.snap.snap, need_results: 1, flags };
    const { snapshots } = await this.domain.connection.call("domain_snapshot_list_all_children", args);
    return snapshots.map(({ name }) => new DomainSnapshot(this.domain, name));
  }

  /** Without METADATA_ONLY, libvirt merges files: see its manual for what it refuses and what it does not. */
  async delete(flags = 0): Promise<void> {
    await this.domain.connection.call("domain_snapshot_delete", { ...this.snap, flags });
  }

  async revert(flags = 0): Promise<void> {
    await this.domain.connection.call("domain_revert_to_snapshot", { ...this.snap, flags });
  }
}

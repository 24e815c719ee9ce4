import { SnapshotDeleteFlags } from "../constants/index.ts";
import { isCode } from "../error-test.ts";
import { type CallLimits, LONG_CALL_MS } from "../limits.ts";
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

  /** Flags are `SnapshotXmlFlags`. */
  async getXml(flags = 0, limits: CallLimits = {}): Promise<string> {
    return (
      await this.domain.connection.call("domain_snapshot_get_xml_desc", { ...this.snap, flags }, limits)
    ).xml;
  }

  /** The snapshot that it was taken after, or null. */
  async getParent(limits: CallLimits = {}): Promise<DomainSnapshot | null> {
    try {
      const { snap } = await this.domain.connection.call(
        "domain_snapshot_get_parent",
        {
          ...this.snap,
          flags: 0,
        },
        limits,
      );
      return new DomainSnapshot(this.domain, snap.name);
    } catch (error) {
      if (isCode(error, "NO_DOMAIN_SNAPSHOT")) {
        return null;
      }
      throw error;
    }
  }

  async isCurrent(limits: CallLimits = {}): Promise<boolean> {
    return (
      (await this.domain.connection.call("domain_snapshot_is_current", { ...this.snap, flags: 0 }, limits))
        .current !== 0
    );
  }

  /** Its direct children, or with `SnapshotListFlags.DESCENDANTS` all that follow it. */
  async listChildren(flags = 0, limits: CallLimits = {}): Promise<DomainSnapshot[]> {
    const args = { snapshot: this.snap.snap, need_results: 1, flags };
    const { snapshots } = await this.domain.connection.call(
      "domain_snapshot_list_all_children",
      args,
      limits,
    );
    return snapshots.map(({ name }) => new DomainSnapshot(this.domain, name));
  }

  /**
   * Deletes it. Without `SnapshotDeleteFlags.METADATA_ONLY`, libvirt merges files: see its manual for what
   * it refuses and what it does not.
   */
  async delete(flags = 0, limits: CallLimits = {}): Promise<void> {
    const args = { ...this.snap, flags };
    const long = (flags & SnapshotDeleteFlags.METADATA_ONLY) === 0 ? { timeout: LONG_CALL_MS } : {};
    await this.domain.connection.call("domain_snapshot_delete", args, { ...long, ...limits });
  }

  /** Flags are `SnapshotRevertFlags`. */
  async revert(flags = 0, limits: CallLimits = {}): Promise<void> {
    const args = { ...this.snap, flags };
    const all = { timeout: LONG_CALL_MS, ...limits };
    await this.domain.connection.call("domain_revert_to_snapshot", args, all);
  }
}

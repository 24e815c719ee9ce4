import { SnapshotCreateFlags } from "../constants/index.ts";
import { isCode } from "../error-test.ts";
import { type CallLimits, LONG_CALL_MS } from "../limits.ts";
import type { ResultOf } from "../procedures/index.ts";
import { DomainCheckpoint } from "./checkpoint.ts";
import { DomainJobs } from "./jobs.ts";
import { DomainSnapshot } from "./snapshot.ts";

/** Snapshots with these copy no memory. */
const QUICK = SnapshotCreateFlags.DISK_ONLY | SnapshotCreateFlags.REDEFINE;

/**
 * A domain. Every method takes `CallLimits` last and rejects as `connection.call` does; codes that a caller
 * can do something about are named with the method. The methods are split over files by what they are about.
 */
export class Domain extends DomainJobs {
  /** The document: of the running domain, or with `DomainXmlFlags.INACTIVE` the one for the next start. */
  async getXml(flags = 0, limits: CallLimits = {}): Promise<string> {
    return (await this.connection.call("domain_get_xml_desc", { ...this.dom, flags }, limits)).xml;
  }

  /** `DomainState` and the reason's number. */
  getState(limits: CallLimits = {}): Promise<ResultOf<"domain_get_state">> {
    return this.connection.call("domain_get_state", { ...this.dom, flags: 0 }, limits);
  }

  /** State, CPUs, memory in KiB, CPU time in ns. */
  getInfo(limits: CallLimits = {}): Promise<ResultOf<"domain_get_info">> {
    return this.connection.call("domain_get_info", this.dom, limits);
  }

  async isActive(limits: CallLimits = {}): Promise<boolean> {
    return (await this.connection.call("domain_is_active", this.dom, limits)).active !== 0;
  }

  async isPersistent(limits: CallLimits = {}): Promise<boolean> {
    return (await this.connection.call("domain_is_persistent", this.dom, limits)).persistent !== 0;
  }

  async rename(name: string, limits: CallLimits = {}): Promise<void> {
    await this.connection.call("domain_rename", { ...this.dom, new_name: name, flags: 0 }, limits);
  }

  /** Metadata of a `MetadataType`; null where there is none. Flags are `ModificationImpact`. */
  async getMetadata(
    type: number,
    uri: string | null,
    flags = 0,
    limits: CallLimits = {},
  ): Promise<string | null> {
    try {
      const args = { ...this.dom, type, uri, flags };
      return (await this.connection.call("domain_get_metadata", args, limits)).metadata;
    } catch (error) {
      if (isCode(error, "NO_DOMAIN_METADATA")) {
        return null;
      }
      throw error;
    }
  }

  /**
   * Sets metadata, or removes it with null. An element comes without the namespace of its own, which
   * libvirt adds from `key` and `uri`. Flags are `ModificationImpact`.
   */
  async setMetadata(
    type: number,
    metadata: string | null,
    key: string | null,
    uri: string | null,
    flags = 0,
    limits: CallLimits = {},
  ): Promise<void> {
    const args = { ...this.dom, type, metadata, key, uri, flags };
    await this.connection.call("domain_set_metadata", args, limits);
  }

  /** Takes a snapshot, or with `SnapshotCreateFlags.REDEFINE` writes the record of one. */
  async createSnapshot(xml: string, flags = 0, limits: CallLimits = {}): Promise<DomainSnapshot> {
    const args = { ...this.dom, xml_desc: xml, flags };
    const long = (flags & QUICK) === 0 ? { timeout: LONG_CALL_MS } : {};
    const { snap } = await this.connection.call("domain_snapshot_create_xml", args, { ...long, ...limits });
    return new DomainSnapshot(this, snap.name);
  }

  /** In no particular order, unless `SnapshotListFlags.TOPOLOGICAL` is set. */
  async listSnapshots(flags = 0, limits: CallLimits = {}): Promise<DomainSnapshot[]> {
    const args = { ...this.dom, need_results: 1, flags };
    const { snapshots } = await this.connection.call("domain_list_all_snapshots", args, limits);
    return snapshots.map(({ name }) => new DomainSnapshot(this, name));
  }

  async snapshotCount(flags = 0, limits: CallLimits = {}): Promise<number> {
    return (await this.connection.call("domain_snapshot_num", { ...this.dom, flags }, limits)).num;
  }

  /** The snapshot of that name without asking the daemon: its first call tells whether it is there. */
  snapshotOfName(name: string): DomainSnapshot {
    return new DomainSnapshot(this, name);
  }

  /** Rejects with NO_DOMAIN_SNAPSHOT where there is none of that name. */
  async lookupSnapshot(name: string, limits: CallLimits = {}): Promise<DomainSnapshot> {
    const args = { ...this.dom, name, flags: 0 };
    const { snap } = await this.connection.call("domain_snapshot_lookup_by_name", args, limits);
    return new DomainSnapshot(this, snap.name);
  }

  /** The snapshot that is marked as current, or null. */
  async currentSnapshot(limits: CallLimits = {}): Promise<DomainSnapshot | null> {
    try {
      const args = { ...this.dom, flags: 0 };
      return new DomainSnapshot(
        this,
        (await this.connection.call("domain_snapshot_current", args, limits)).snap.name,
      );
    } catch (error) {
      if (isCode(error, "NO_DOMAIN_SNAPSHOT")) {
        return null;
      }
      throw error;
    }
  }

  /**
   * Makes a checkpoint of a running domain, or with `CheckpointCreateFlags.REDEFINE` writes the record of
   * one. Rejects with OPERATION_UNSUPPORTED while the domain is stopped.
   */
  async createCheckpoint(xml: string, flags = 0, limits: CallLimits = {}): Promise<DomainCheckpoint> {
    const args = { ...this.dom, xml_desc: xml, flags };
    const { checkpoint } = await this.connection.call("domain_checkpoint_create_xml", args, limits);
    return new DomainCheckpoint(this, checkpoint.name);
  }

  /** Names of the checkpoints, in no particular order unless `CheckpointListFlags.TOPOLOGICAL` is set. */
  async listCheckpoints(flags = 0, limits: CallLimits = {}): Promise<string[]> {
    const args = { ...this.dom, need_results: 1, flags };
    const { checkpoints } = await this.connection.call("domain_list_all_checkpoints", args, limits);
    return checkpoints.map(({ name }) => name);
  }

  /** The checkpoint of that name without asking the daemon: its first call tells whether it is there. */
  checkpointOfName(name: string): DomainCheckpoint {
    return new DomainCheckpoint(this, name);
  }

  /** Rejects with NO_DOMAIN_CHECKPOINT where there is none of that name. */
  async lookupCheckpoint(name: string, limits: CallLimits = {}): Promise<DomainCheckpoint> {
    const args = { ...this.dom, name, flags: 0 };
    const { checkpoint } = await this.connection.call("domain_checkpoint_lookup_by_name", args, limits);
    return new DomainCheckpoint(this, checkpoint.name);
  }
}

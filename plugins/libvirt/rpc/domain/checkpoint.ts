import { isCode } from "../error-test.ts";
import { type CallLimits, LONG_CALL_MS } from "../limits.ts";
import type { ArgumentsOf } from "../procedures/index.ts";
import type { Domain } from "./domain.ts";

type Handle = ArgumentsOf<"domain_checkpoint_delete">["checkpoint"];

/** A checkpoint of a domain: since when its disks remember which blocks were written, for incremental backups. */
export class DomainCheckpoint {
  readonly domain: Domain;
  readonly name: string;

  constructor(domain: Domain, name: string) {
    this.domain = domain;
    this.name = name;
  }

  private get checkpoint(): { checkpoint: Handle } {
    return { checkpoint: { name: this.name, dom: this.domain.handle } };
  }

  /**
   * Flags are `CheckpointXmlFlags`; SIZE, of a running domain, adds the bytes that an incremental backup
   * from it would have. Rejects with NO_DOMAIN_CHECKPOINT where it is not there.
   */
  async getXml(flags = 0, limits: CallLimits = {}): Promise<string> {
    const args = { ...this.checkpoint, flags };
    return (await this.domain.connection.call("domain_checkpoint_get_xml_desc", args, limits)).xml;
  }

  /** The checkpoint that it was made after, or null. */
  async getParent(limits: CallLimits = {}): Promise<DomainCheckpoint | null> {
    try {
      const args = { ...this.checkpoint, flags: 0 };
      const { parent } = await this.domain.connection.call("domain_checkpoint_get_parent", args, limits);
      return new DomainCheckpoint(this.domain, parent.name);
    } catch (error) {
      // Without a parent, libvirt reports the same code as without the checkpoint: both have none.
      if (isCode(error, "NO_DOMAIN_CHECKPOINT")) {
        return null;
      }
      throw error;
    }
  }

  /** Its direct children, or with `CheckpointListFlags.DESCENDANTS` all that follow it. */
  async listChildren(flags = 0, limits: CallLimits = {}): Promise<DomainCheckpoint[]> {
    const args = { ...this.checkpoint, need_results: 1, flags };
    const { checkpoints } = await this.domain.connection.call(
      "domain_checkpoint_list_all_children",
      args,
      limits,
    );
    return checkpoints.map(({ name }) => new DomainCheckpoint(this.domain, name));
  }

  /**
   * Deletes it, and merges what it remembers into its child. Of a stopped domain libvirt takes only
   * `CheckpointDeleteFlags.METADATA_ONLY`, which leaves the bitmaps in the disks, and rejects with
   * OPERATION_UNSUPPORTED otherwise.
   */
  async delete(flags = 0, limits: CallLimits = {}): Promise<void> {
    const args = { ...this.checkpoint, flags };
    const all = { timeout: LONG_CALL_MS, ...limits };
    await this.domain.connection.call("domain_checkpoint_delete", args, all);
  }
}

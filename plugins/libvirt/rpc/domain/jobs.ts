import { isCode } from "../error-test.ts";
import type { CallLimits } from "../limits.ts";
import type { ResultOf } from "../procedures/index.ts";
import { type ParameterValue, parameters } from "../structures.ts";
import { DomainGuest } from "./guest.ts";

/** What a job has done and has to do. */
export interface JobStats {
  /** A `JobType`; NONE where there is no job. */
  readonly type: number;
  /**
   * By libvirt's names, such as `operation` (a `JobOperation`), `time_elapsed` (ms), `memory_total` and
   * `disk_processed` (bytes).
   */
  readonly params: Readonly<Record<string, ParameterValue>>;
}

/** The job of a whole domain: a save, a snapshot of memory, a backup. Jobs on one disk are others: `blockJobInfo`. */
export class DomainJobs extends DomainGuest {
  /** The job under way: `type` is a `JobType`, times are ms, amounts are bytes. */
  getJobInfo(limits: CallLimits = {}): Promise<ResultOf<"domain_get_job_info">> {
    return this.connection.call("domain_get_job_info", this.dom, limits);
  }

  /** The job under way, or with `JobStatsFlags.COMPLETED` the one that ended last. */
  async getJobStats(flags = 0, limits: CallLimits = {}): Promise<JobStats> {
    const { type, params } = await this.connection.call(
      "domain_get_job_stats",
      { ...this.dom, flags },
      limits,
    );
    return { type, params: parameters(params) };
  }

  /**
   * Ends the job under way, a backup too. Flags are `AbortJobFlags`. Rejects with OPERATION_INVALID where
   * there is none.
   */
  async abortJob(flags = 0, limits: CallLimits = {}): Promise<void> {
    if (flags === 0) {
      await this.connection.call("domain_abort_job", this.dom, limits);
    } else {
      await this.connection.call("domain_abort_job_flags", { ...this.dom, flags }, limits);
    }
  }

  /**
   * Begins a backup of a running domain, and a checkpoint in the same moment where its document is given.
   * A push backup ends by itself (`jobCompleted`); a pull backup serves NBD until `abortJob`. Flags are
   * `BackupBeginFlags`. Rejects with OPERATION_UNSUPPORTED while the domain is stopped.
   */
  async backupBegin(
    xml: string,
    checkpointXml: string | null = null,
    flags = 0,
    limits: CallLimits = {},
  ): Promise<void> {
    const args = { ...this.dom, backup_xml: xml, checkpoint_xml: checkpointXml, flags };
    await this.connection.call("domain_backup_begin", args, limits);
  }

  /** The document of the backup under way, with what libvirt filled in; null where there is none. */
  async backupXml(limits: CallLimits = {}): Promise<string | null> {
    try {
      const args = { ...this.dom, flags: 0 };
      return (await this.connection.call("domain_backup_get_xml_desc", args, limits)).xml;
    } catch (error) {
      if (isCode(error, "NO_DOMAIN_BACKUP")) {
        return null;
      }
      throw error;
    }
  }
}

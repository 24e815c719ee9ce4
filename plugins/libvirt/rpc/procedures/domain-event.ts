import { DomainEventId } from "../constants/index.ts";
import { domain, typedParameter } from "../structures.ts";
import { array, i32, i64, nullable, string, struct, type Type, u32, u64 } from "../xdr.ts";
import { REMOTE_MESSAGES } from "./numbers.ts";

/** One kind of event. */
interface EventType<Fields> {
  /** libvirt's name of the message that carries it. */
  readonly message: string;
  /** The number of that message. */
  readonly procedure: number;
  /** What the registration names it by. */
  readonly id: number;
  readonly fields: Type<Fields>;
}

function event<Fields>(
  message: keyof typeof REMOTE_MESSAGES,
  id: number,
  fields: Type<Fields>,
): EventType<Fields> {
  return { message, procedure: REMOTE_MESSAGES[message], id, fields };
}

/** Events of domains: the message that carries each, its id for the registration, its fields. */
export const domainEvents = {
  lifecycle: event(
    "domain_event_callback_lifecycle",
    DomainEventId.LIFECYCLE,
    struct({ callbackID: i32, dom: domain, event: i32, detail: i32 }),
  ),
  reboot: event(
    "domain_event_callback_reboot",
    DomainEventId.REBOOT,
    struct({ callbackID: i32, dom: domain }),
  ),
  rtcChange: event(
    "domain_event_callback_rtc_change",
    DomainEventId.RTC_CHANGE,
    struct({ callbackID: i32, dom: domain, offset: i64 }),
  ),
  watchdog: event(
    "domain_event_callback_watchdog",
    DomainEventId.WATCHDOG,
    struct({ callbackID: i32, dom: domain, action: i32 }),
  ),
  ioError: event(
    "domain_event_callback_io_error",
    DomainEventId.IO_ERROR,
    struct({ callbackID: i32, dom: domain, srcPath: string, devAlias: string, action: i32 }),
  ),
  ioErrorReason: event(
    "domain_event_callback_io_error_reason",
    DomainEventId.IO_ERROR_REASON,
    struct({
      callbackID: i32,
      dom: domain,
      srcPath: string,
      devAlias: string,
      action: i32,
      reason: string,
    }),
  ),
  controlError: event(
    "domain_event_callback_control_error",
    DomainEventId.CONTROL_ERROR,
    struct({ callbackID: i32, dom: domain }),
  ),
  blockJob: event(
    "domain_event_callback_block_job",
    DomainEventId.BLOCK_JOB,
    struct({ callbackID: i32, dom: domain, path: string, type: i32, status: i32 }),
  ),
  diskChange: event(
    "domain_event_callback_disk_change",
    DomainEventId.DISK_CHANGE,
    struct({
      callbackID: i32,
      dom: domain,
      oldSrcPath: nullable(string),
      newSrcPath: nullable(string),
      devAlias: string,
      reason: i32,
    }),
  ),
  trayChange: event(
    "domain_event_callback_tray_change",
    DomainEventId.TRAY_CHANGE,
    struct({ callbackID: i32, dom: domain, devAlias: string, reason: i32 }),
  ),
  pmwakeup: event(
    "domain_event_callback_pmwakeup",
    DomainEventId.PMWAKEUP,
    struct({ callbackID: i32, reason: i32, dom: domain }),
  ),
  pmsuspend: event(
    "domain_event_callback_pmsuspend",
    DomainEventId.PMSUSPEND,
    struct({ callbackID: i32, reason: i32, dom: domain }),
  ),
  balloonChange: event(
    "domain_event_callback_balloon_change",
    DomainEventId.BALLOON_CHANGE,
    struct({ callbackID: i32, dom: domain, actual: u64 }),
  ),
  pmsuspendDisk: event(
    "domain_event_callback_pmsuspend_disk",
    DomainEventId.PMSUSPEND_DISK,
    struct({ callbackID: i32, reason: i32, dom: domain }),
  ),
  deviceRemoved: event(
    "domain_event_callback_device_removed",
    DomainEventId.DEVICE_REMOVED,
    struct({ callbackID: i32, dom: domain, devAlias: string }),
  ),
  blockJob2: event(
    "domain_event_block_job_2",
    DomainEventId.BLOCK_JOB_2,
    struct({ callbackID: i32, dom: domain, dst: string, type: i32, status: i32 }),
  ),
  tunable: event(
    "domain_event_callback_tunable",
    DomainEventId.TUNABLE,
    struct({ callbackID: i32, dom: domain, params: array(typedParameter, 2048) }),
  ),
  agentLifecycle: event(
    "domain_event_callback_agent_lifecycle",
    DomainEventId.AGENT_LIFECYCLE,
    struct({ callbackID: i32, dom: domain, state: i32, reason: i32 }),
  ),
  deviceAdded: event(
    "domain_event_callback_device_added",
    DomainEventId.DEVICE_ADDED,
    struct({ callbackID: i32, dom: domain, devAlias: string }),
  ),
  migrationIteration: event(
    "domain_event_callback_migration_iteration",
    DomainEventId.MIGRATION_ITERATION,
    struct({ callbackID: i32, dom: domain, iteration: i32 }),
  ),
  jobCompleted: event(
    "domain_event_callback_job_completed",
    DomainEventId.JOB_COMPLETED,
    struct({ callbackID: i32, dom: domain, params: array(typedParameter, 64) }),
  ),
  deviceRemovalFailed: event(
    "domain_event_callback_device_removal_failed",
    DomainEventId.DEVICE_REMOVAL_FAILED,
    struct({ callbackID: i32, dom: domain, devAlias: string }),
  ),
  metadataChange: event(
    "domain_event_callback_metadata_change",
    DomainEventId.METADATA_CHANGE,
    struct({ callbackID: i32, dom: domain, type: i32, nsuri: nullable(string) }),
  ),
  blockThreshold: event(
    "domain_event_block_threshold",
    DomainEventId.BLOCK_THRESHOLD,
    struct({
      callbackID: i32,
      dom: domain,
      dev: string,
      path: nullable(string),
      threshold: u64,
      excess: u64,
    }),
  ),
  memoryFailure: event(
    "domain_event_memory_failure",
    DomainEventId.MEMORY_FAILURE,
    struct({ callbackID: i32, dom: domain, recipient: i32, action: i32, flags: u32 }),
  ),
  memoryDeviceSizeChange: event(
    "domain_event_memory_device_size_change",
    DomainEventId.MEMORY_DEVICE_SIZE_CHANGE,
    struct({ callbackID: i32, dom: domain, alias: string, size: u64 }),
  ),
};

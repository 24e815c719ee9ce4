/** An enumeration of libvirt that the binding has as a constant. */
export interface Selected {
  /** Its name in C. */
  readonly type: string;
  /** Its name in the binding. */
  readonly name: string;
  /** What is cut off the names of its members. */
  readonly prefix: string;
}

const entry = (type: string, name: string, prefix: string): Selected => ({ type, name, prefix });

/** Which enumerations each file of `constants/` has. */
export const SELECTION: Readonly<Record<string, readonly Selected[]>> = {
  connection: [
    entry("virConnectFlags", "ConnectFlags", "VIR_CONNECT_"),
    entry("virConnectListAllDomainsFlags", "ListDomainsFlags", "VIR_CONNECT_LIST_DOMAINS_"),
    entry("virConnectListAllNetworksFlags", "ListNetworksFlags", "VIR_CONNECT_LIST_NETWORKS_"),
    entry("virConnectListAllStoragePoolsFlags", "ListStoragePoolsFlags", "VIR_CONNECT_LIST_STORAGE_POOLS_"),
    entry("virConnectGetAllDomainStatsFlags", "AllDomainStatsFlags", "VIR_CONNECT_GET_ALL_DOMAINS_STATS_"),
    entry("virDomainStatsTypes", "StatsTypes", "VIR_DOMAIN_STATS_"),
  ],
  domain: [
    entry("virDomainState", "DomainState", "VIR_DOMAIN_"),
    entry("virDomainPausedReason", "PausedReason", "VIR_DOMAIN_PAUSED_"),
    entry("virDomainXMLFlags", "DomainXmlFlags", "VIR_DOMAIN_XML_"),
    entry("virDomainModificationImpact", "ModificationImpact", "VIR_DOMAIN_AFFECT_"),
    entry("virDomainMetadataType", "MetadataType", "VIR_DOMAIN_METADATA_"),
    entry("virDomainDefineFlags", "DefineFlags", "VIR_DOMAIN_DEFINE_"),
    entry("virDomainUndefineFlagsValues", "UndefineFlags", "VIR_DOMAIN_UNDEFINE_"),
    entry("virDomainCreateFlags", "CreateFlags", "VIR_DOMAIN_"),
    entry("virDomainShutdownFlagValues", "ShutdownFlags", "VIR_DOMAIN_SHUTDOWN_"),
    entry("virDomainRebootFlagValues", "RebootFlags", "VIR_DOMAIN_REBOOT_"),
    entry("virDomainDestroyFlagsValues", "DestroyFlags", "VIR_DOMAIN_DESTROY_"),
    entry("virDomainSaveRestoreFlags", "SaveRestoreFlags", "VIR_DOMAIN_SAVE_"),
    entry("virDomainSaveImageXMLFlags", "SaveImageXmlFlags", "VIR_DOMAIN_SAVE_IMAGE_XML_"),
    entry("virDomainVcpuFlags", "VcpuFlags", "VIR_DOMAIN_VCPU_"),
    entry("virDomainMemoryModFlags", "MemoryFlags", "VIR_DOMAIN_MEM_"),
    entry("virDomainDeviceModifyFlags", "DeviceModifyFlags", "VIR_DOMAIN_DEVICE_MODIFY_"),
    entry("virDomainConsoleFlags", "ConsoleFlags", "VIR_DOMAIN_CONSOLE_"),
    entry(
      "virDomainInterfaceAddressesSource",
      "InterfaceAddressesSource",
      "VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_",
    ),
    entry("virDomainSetTimeFlags", "SetTimeFlags", "VIR_DOMAIN_TIME_"),
    entry("virDomainAgentResponseTimeoutValues", "AgentTimeout", "VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_"),
  ],
  job: [
    entry("virDomainJobType", "JobType", "VIR_DOMAIN_JOB_"),
    entry("virDomainJobOperation", "JobOperation", "VIR_DOMAIN_JOB_OPERATION_"),
    entry("virDomainGetJobStatsFlags", "JobStatsFlags", "VIR_DOMAIN_JOB_STATS_"),
    entry("virDomainAbortJobFlagsValues", "AbortJobFlags", "VIR_DOMAIN_ABORT_JOB_"),
    entry("virDomainBlockCommitFlags", "BlockCommitFlags", "VIR_DOMAIN_BLOCK_COMMIT_"),
    entry("virDomainBlockPullFlags", "BlockPullFlags", "VIR_DOMAIN_BLOCK_PULL_"),
    entry("virDomainBlockJobAbortFlags", "BlockJobAbortFlags", "VIR_DOMAIN_BLOCK_JOB_ABORT_"),
    entry("virDomainBlockJobType", "BlockJobType", "VIR_DOMAIN_BLOCK_JOB_TYPE_"),
    entry("virConnectDomainEventBlockJobStatus", "BlockJobStatus", "VIR_DOMAIN_BLOCK_JOB_"),
    entry("virDomainBlockResizeFlags", "BlockResizeFlags", "VIR_DOMAIN_BLOCK_RESIZE_"),
  ],
  snapshot: [
    entry("virDomainSnapshotCreateFlags", "SnapshotCreateFlags", "VIR_DOMAIN_SNAPSHOT_CREATE_"),
    entry("virDomainSnapshotListFlags", "SnapshotListFlags", "VIR_DOMAIN_SNAPSHOT_LIST_"),
    entry("virDomainSnapshotXMLFlags", "SnapshotXmlFlags", "VIR_DOMAIN_SNAPSHOT_XML_"),
    entry("virDomainSnapshotRevertFlags", "SnapshotRevertFlags", "VIR_DOMAIN_SNAPSHOT_REVERT_"),
    entry("virDomainSnapshotDeleteFlags", "SnapshotDeleteFlags", "VIR_DOMAIN_SNAPSHOT_DELETE_"),
    entry("virDomainCheckpointCreateFlags", "CheckpointCreateFlags", "VIR_DOMAIN_CHECKPOINT_CREATE_"),
    entry("virDomainCheckpointListFlags", "CheckpointListFlags", "VIR_DOMAIN_CHECKPOINT_LIST_"),
    entry("virDomainCheckpointXMLFlags", "CheckpointXmlFlags", "VIR_DOMAIN_CHECKPOINT_XML_"),
    entry("virDomainCheckpointDeleteFlags", "CheckpointDeleteFlags", "VIR_DOMAIN_CHECKPOINT_DELETE_"),
    entry("virDomainBackupBeginFlags", "BackupBeginFlags", "VIR_DOMAIN_BACKUP_BEGIN_"),
  ],
  event: [
    entry("virDomainEventID", "DomainEventId", "VIR_DOMAIN_EVENT_ID_"),
    entry("virDomainEventType", "LifecycleEvent", "VIR_DOMAIN_EVENT_"),
    entry("virDomainEventUndefinedDetailType", "UndefinedDetail", "VIR_DOMAIN_EVENT_UNDEFINED_"),
    entry("virDomainEventStoppedDetailType", "StoppedDetail", "VIR_DOMAIN_EVENT_STOPPED_"),
    entry(
      "virConnectDomainEventAgentLifecycleState",
      "AgentState",
      "VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_",
    ),
  ],
  storage: [
    entry("virStoragePoolBuildFlags", "PoolBuildFlags", "VIR_STORAGE_POOL_BUILD_"),
    entry("virStoragePoolState", "StoragePoolState", "VIR_STORAGE_POOL_"),
    entry("virStorageVolCreateFlags", "VolumeCreateFlags", "VIR_STORAGE_VOL_CREATE_"),
    entry("virStorageVolResizeFlags", "VolumeResizeFlags", "VIR_STORAGE_VOL_RESIZE_"),
    entry("virStorageVolType", "VolumeType", "VIR_STORAGE_VOL_"),
  ],
};

/** Families of typed parameters: which file of `constants/` has the names of each, and under which name. */
export const PARAMETERS: readonly {
  readonly file: string;
  readonly name: string;
  readonly prefix: string;
}[] = [{ file: "domain", name: "SaveParameter", prefix: "VIR_DOMAIN_SAVE_PARAM_" }];

/** Enumerations that become tables from number to name, for errors. */
export const ERROR_CODES = "virErrorNumber";
export const ERROR_DOMAINS = "virErrorDomain";
/** What the union of typed values goes by; the binding has no constant of it. */
export const TYPED_PARAMETERS = "virTypedParameterType";

/** Every enumeration that an extract keeps, by its name in C. */
export const ENUMERATIONS: readonly string[] = [
  ...Object.values(SELECTION).flatMap((file) => file.map(({ type }) => type)),
  ERROR_CODES,
  ERROR_DOMAINS,
  TYPED_PARAMETERS,
];

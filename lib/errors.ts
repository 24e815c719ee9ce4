import { exactSize } from "./size/format.ts";

/**
 * Every failure that strata reports, in one table: a stable code, the exit code of the process,
 * the message and, where there is something to do, a hint. Placeholders `{name}` are filled from the
 * error's details; a bigint there is a size in bytes. Scripts may rely on codes and exit codes; messages
 * may be reworded.
 */

/** Exit codes of the `strata` process. `exec` and `shell` exit with the status of the guest's command. */
export const EXIT = {
  failure: 1,
  usage: 2,
  notFound: 3,
  exists: 4,
  state: 5,
  busy: 6,
  unavailable: 7,
  denied: 8,
  exhausted: 9,
  timeout: 10,
  unsupported: 11,
  integrity: 12,
  output: 13,
  cancelled: 130,
} as const;

/** What takes an instance out of a state in which something is refused. */
const STATE_REMEDIES: Readonly<Record<string, string>> = {
  Running: "`strata stop {name}` stops it.",
  "Delayed Shutdown": "`strata stop {name}` stops it at once.",
  Stopped: "`strata start {name}` starts it.",
};

interface Entry {
  readonly exit: number;
  readonly message: string;
  /** What to do; a function of the details where it is not always the same. */
  readonly hint?: string | ((details: ErrorDetails) => string | undefined);
  /** The same call may succeed later without anything being changed. */
  readonly retryable?: true;
}

const entries = {
  USAGE: { exit: EXIT.usage, message: "{reason}" },
  INVALID_NAME: {
    exit: EXIT.usage,
    message: 'invalid {kind} name "{name}"',
    hint: "Use letters, digits and hyphens; begin with a letter, end with a letter or digit, at most 63 characters.",
  },
  INVALID_SIZE: {
    exit: EXIT.usage,
    message: 'invalid {kind} size "{value}"',
    hint: "Give whole bytes, or a number with K, M or G (powers of 1024), such as 512M or 1.5G.",
  },
  SIZE_TOO_SMALL: { exit: EXIT.usage, message: "{kind} size {value} is below the minimum of {minimum}" },
  INVALID_VALUE: { exit: EXIT.usage, message: 'invalid value "{value}" for {what}: {reason}' },
  UNKNOWN_SETTING: {
    exit: EXIT.usage,
    message: "Unrecognized settings key: '{key}'",
    hint: "`strata get --keys` lists the keys that exist.",
  },
  CONFIRMATION_REQUIRED: {
    exit: EXIT.usage,
    message: "{what} needs {option} when there is no terminal to ask on",
  },
  DISK_SHRINK: {
    exit: EXIT.usage,
    message: 'the disk of "{name}" cannot shrink from {current} to {wanted}',
    hint: "Disks only grow: a smaller one would cut off data.",
  },
  INSTANCE_NOT_FOUND: {
    exit: EXIT.notFound,
    message: 'instance "{name}" does not exist',
    hint: "`strata list` shows the instances.",
  },
  SNAPSHOT_NOT_FOUND: {
    exit: EXIT.notFound,
    message: 'snapshot "{snapshot}" of instance "{name}" does not exist',
    hint: "`strata list --snapshots` shows the snapshots.",
  },
  IMAGE_NOT_FOUND: {
    exit: EXIT.notFound,
    message: 'image "{image}" is not known',
    hint: "`strata find` shows the images that are offered, `strata image list` those that are here.",
  },
  REMOTE_NOT_FOUND: {
    exit: EXIT.notFound,
    message: 'there is no remote "{remote}" for images',
    hint: "Known are {known}; more are named in {path}.",
  },
  IMAGE_NOT_BUILT: {
    exit: EXIT.notFound,
    message: 'image "{image}" has not been built',
    hint: "Build it from Debian's packages: strata image build debian --variant {variant}",
  },
  FILE_NOT_FOUND: { exit: EXIT.notFound, message: 'file "{path}" does not exist or cannot be read' },
  DOMAIN_NOT_FOUND: {
    exit: EXIT.notFound,
    message: 'there is no domain "{name}"',
    hint: "`strata adopt` without a name lists what can be adopted.",
  },
  FINDING_NOT_FOUND: {
    exit: EXIT.notFound,
    message: 'doctor finds nothing wrong with "{subject}"',
    hint: ({ known }) => (known === "" ? undefined : "It finds something wrong with {known}."),
  },
  INSTANCE_ELSEWHERE: {
    exit: EXIT.notFound,
    message: 'instance "{name}" is not on the engine {driver}; it is on {engine}',
    hint: "Name its engine: strata --driver {engine} …",
  },
  INSTANCE_EXISTS: {
    exit: EXIT.exists,
    message: 'instance "{name}" already exists',
    hint: "Choose another name. Deleted instances keep theirs until `strata purge`.",
  },
  SNAPSHOT_EXISTS: {
    exit: EXIT.exists,
    message: "Snapshot already exists: {name}.{snapshot}",
    hint: "Choose another name; `strata list --snapshots {name}` shows those that are taken.",
  },
  ALIAS_EXISTS: {
    exit: EXIT.exists,
    message: 'alias "{name}" already exists in context "{context}"',
    hint: "Choose another name, or take this one away first: strata unalias {name}",
  },
  ALIAS_NOT_FOUND: {
    exit: EXIT.notFound,
    message: 'alias "{name}" does not exist',
    hint: "`strata aliases` shows the aliases.",
  },
  INSTANCE_DELETED: {
    exit: EXIT.state,
    message: 'instance "{name}" is deleted',
    hint: "`strata recover {name}` brings it back, `strata purge` removes it for good.",
  },
  INSTANCE_NOT_DELETED: { exit: EXIT.state, message: 'instance "{name}" is not deleted' },
  MOUNT_EXISTS: {
    exit: EXIT.exists,
    message: '"{name}" has a mount at {target} already',
    hint: "`strata umount {name}:{target}` takes it away.",
  },
  MOUNT_NOT_FOUND: {
    exit: EXIT.notFound,
    message: '"{name}" has no mount at {target}',
    hint: "`strata info {name}` shows its mounts.",
  },
  MOUNT_BUSY: {
    exit: EXIT.busy,
    message: 'the mount at {target} in "{name}" is in use',
    hint: "Leave the folder and end what has files of it open: in the guest, `fuser -vm {target}` tells.",
    retryable: true,
  },
  MOUNT_FAILED: { exit: EXIT.failure, message: 'the guest of "{name}" cannot mount {target}: {reason}' },
  MOUNTS_DISABLED: {
    exit: EXIT.denied,
    message: "mounts are disabled on this host",
    hint: "`strata set {key}=true` allows them.",
  },
  MOUNT_REFUSED: { exit: EXIT.unsupported, message: '{source} cannot be mounted in "{name}": {reason}' },
  WRONG_STATE: {
    exit: EXIT.state,
    message: '{reason}: "{name}" is {state}',
    hint: ({ state }) => STATE_REMEDIES[String(state)],
  },
  INSTANCE_SUSPENDED: {
    exit: EXIT.state,
    message: '{reason}: "{name}" is Suspended',
    hint: "Its saved memory belongs to its present disk. `strata start {name}`, then `strata stop {name}`.",
  },
  HAS_SNAPSHOTS: {
    exit: EXIT.state,
    message: '{reason}: "{name}" has {count}',
    hint: "`strata list --snapshots` shows them, `strata delete --purge {name}.SNAPSHOT` deletes one.",
  },
  CHECKPOINTS_IN_WAY: {
    exit: EXIT.state,
    message: 'libvirt refuses this while "{name}" has checkpoints: {checkpoints}',
    hint:
      "A backup tool made them, and strata removes none: `virsh checkpoint-list {name}` shows them. " +
      "`virsh checkpoint-delete {name} CHECKPOINT` deletes one (with `--metadata` while the instance is stopped); " +
      "the tool's next backup is a full one then.",
  },
  OPERATION_UNFINISHED: {
    exit: EXIT.state,
    message: 'an earlier operation ({kind}) on "{name}" could not be finished: {reason}',
    hint:
      "`strata doctor` shows it, and what can be done about it. " +
      "`strata stop`, `strata info` and `strata delete --purge` work all the same.",
  },
  BUSY: {
    exit: EXIT.busy,
    message: 'another operation is under way on "{name}"',
    hint: "Try again when it has ended.",
    retryable: true,
  },
  ENGINE_UNAVAILABLE: {
    exit: EXIT.unavailable,
    message: "{engine} cannot be reached: {reason}",
    hint: "`strata doctor` says what is missing and how to put it right.",
    retryable: true,
  },
  ENGINE_LOST: {
    exit: EXIT.unavailable,
    message: "the connection to {engine} was lost: {reason}",
    hint: "Whether the command was carried out is not known: `strata info` and `strata doctor` show what is there.",
    retryable: true,
  },
  ENGINE_ERROR: { exit: EXIT.failure, message: "{engine}: {reason}" },
  PERMISSION_DENIED: { exit: EXIT.denied, message: "permission denied: {reason}" },
  FOLDER_UNUSABLE: {
    exit: EXIT.denied,
    message: "strata cannot use {path}: {reason}",
    hint:
      "It keeps files of its own there. Make the folder yours to read and write, or name another by HOME or " +
      "XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_CACHE_HOME, XDG_STATE_HOME.",
  },
  NO_SPACE: {
    exit: EXIT.exhausted,
    message: "no space left on {where}",
    hint: "Free some space and run the command again.",
  },
  PORT_TAKEN: { exit: EXIT.exhausted, message: "port {port} of this host is in use", retryable: true },
  TIMEOUT: { exit: EXIT.timeout, message: "timed out after {seconds} s: {what}" },
  GUEST_UNREACHABLE: {
    exit: EXIT.timeout,
    message: 'the guest of "{name}" does not answer: {reason}',
    hint: "It may still be starting: `strata info {name}` shows its state.",
    retryable: true,
  },
  GUEST_REFUSED: {
    exit: EXIT.denied,
    message: 'the guest of "{name}" refused the login of {username}: {reason}',
    hint: "It accepts the key of the user who launched it.",
  },
  NO_LOGIN: {
    exit: EXIT.denied,
    message: 'strata cannot log in to "{name}": it was adopted without a user name',
    hint: "Release it, and adopt it again with --username and strata's key in that user's authorized_keys.",
  },
  HOST_KEY_CHANGED: {
    exit: EXIT.denied,
    message: 'the ssh host key of "{name}" is not the one seen first',
    hint: "Another machine may be answering at its address. Nothing was sent to it.",
  },
  NO_PASSPHRASE: {
    exit: EXIT.unsupported,
    message: "strata has no passphrase, as it has no service to log in to",
    hint: "Who may use the engine is decided by its socket's permissions; `strata authenticate` tells whether you may.",
  },
  UNSUPPORTED: { exit: EXIT.unsupported, message: "{what} is not supported by {engine}: {reason}" },
  IMAGE_UNREADABLE: { exit: EXIT.integrity, message: 'image "{image}" cannot be read: {reason}' },
  IMAGE_HAS_BACKING: {
    exit: EXIT.integrity,
    message: 'image "{image}" refers to another file ({file})',
    hint: "Such an image could read any file of this host. Flatten it first: qemu-img convert -O qcow2 IN OUT.",
  },
  CHECKSUM_MISMATCH: {
    exit: EXIT.integrity,
    message: 'image "{image}" has SHA-256 {actual}, expected {expected}',
    hint: "The file was removed. Download it again, or check the expected value.",
  },
  SIZE_MISMATCH: {
    exit: EXIT.integrity,
    message: 'image "{image}" has {actual} bytes, expected {expected}',
    hint: "What came was removed. Its server may be updating: try again later.",
  },
  CHECKSUM_REQUIRED: {
    exit: EXIT.usage,
    message: 'no checksum given for "{image}"',
    hint: "Append #sha256=HEX to the URL: what comes over a network is always verified.",
  },
  CATALOGUE_UNREADABLE: {
    exit: EXIT.integrity,
    message: 'the catalogue of images of "{remote}" cannot be used: {reason}',
    hint: "Nothing of it was believed. What is in the cache can still be launched.",
  },
  DOWNLOAD_FAILED: {
    exit: EXIT.unavailable,
    message: 'download of "{url}" failed: {reason}',
    retryable: true,
  },
  TRANSFER_FAILED: { exit: EXIT.failure, message: '"{path}" cannot be transferred: {reason}' },
  TRANSFER_UNSAFE: {
    exit: EXIT.integrity,
    message: 'the guest of "{name}" sent "{path}", which leads out of what was asked for',
    hint: "Nothing was written there. What came before it was kept.",
  },
  LAYER_MISSING: {
    exit: EXIT.integrity,
    message: 'a layer of "{name}" is missing: {path}',
    hint: "Bring the file back from a backup, to the same path. `strata doctor` shows all that is missing.",
  },
  LAYER_UNREADABLE: { exit: EXIT.integrity, message: 'a layer of "{name}" cannot be read: {path}: {reason}' },
  CHAIN_TOO_DEEP: {
    exit: EXIT.unsupported,
    message: '"{name}" would stand on {depth} layers, more than the {limit} that {engine} can start',
    hint: "Delete snapshots that are no longer needed.",
  },
  RECORDS_DIFFER: {
    exit: EXIT.integrity,
    message: 'the records of "{name}" do not agree: {reason}',
    hint: "`strata doctor` shows what does not agree, and what can be done about it.",
  },
  RECORD_TOO_NEW: {
    exit: EXIT.unsupported,
    message: 'the record of "{name}" is of a newer strata: {reason}',
    hint: "Use the newer strata that wrote it. Where there is none any more, `strata doctor` says what else can be done.",
  },
  RECORD_FORGOTTEN: {
    exit: EXIT.exhausted,
    message:
      '{engine} could not write its record of snapshot "{snapshot}" of "{name}" and has forgotten it; it is kept',
    hint: "Free some space and run the command again. If it says the same, restart libvirtd: guests run on, and the snapshot is there again.",
  },
  PROGRAM_MISSING: {
    exit: EXIT.unavailable,
    message: 'the program "{program}" is not installed',
    hint: "On Debian and Ubuntu: apt-get install {package}",
  },
  PROGRAM_FAILED: { exit: EXIT.failure, message: "{program} failed: {reason}" },
  PLUGIN_ERROR: { exit: EXIT.failure, message: 'engine plugin "{plugin}": {reason}' },
  PLUGIN_UNKNOWN: {
    exit: EXIT.notFound,
    message: 'there is no engine "{plugin}"; there are {known}',
    hint: "A package with an engine is named in the setting local.plugins; `strata plugins` lists them all.",
  },
  PLUGIN_MISSING: {
    exit: EXIT.notFound,
    message: 'the engine plugin "{package}" is not installed',
    hint: "npm install --prefix {folder} {package}",
  },
  PLUGIN_INCOMPATIBLE: {
    exit: EXIT.unsupported,
    message:
      'engine plugin "{plugin}" was made for version {wanted} of the contract; this strata has {version}',
    hint: "Install the version of the plugin that goes with this strata.",
  },
  PLUGIN_DUPLICATE: {
    exit: EXIT.exists,
    message: 'two engines are called "{plugin}": {first} and {second}',
    hint: "Take one of them out of the setting local.plugins; until then the first is used.",
  },
  OUTPUT_FAILED: {
    exit: EXIT.output,
    message: "the output could not be written: {reason}; {outcome}",
  },
  CANCELLED: { exit: EXIT.cancelled, message: "cancelled" },
  INTERNAL: {
    exit: EXIT.failure,
    message: "internal error: {reason}",
    hint: "This is a fault in strata. Please report it.",
  },
} satisfies Record<string, Entry>;

export type ErrorCode = keyof typeof entries;
export const ERRORS: Readonly<Record<ErrorCode, Entry>> = entries;

export type ErrorDetails = Readonly<Record<string, string | number | bigint | boolean>>;

const brand = Symbol.for("strata.error");

/** The one error class of strata and its plugins. `code` is stable; `cause` keeps what was caught. */
export class StrataError extends Error {
  readonly code: ErrorCode;
  readonly exitCode: number;
  readonly hint: string | undefined;
  readonly retryable: boolean;
  readonly details: ErrorDetails;
  readonly [brand] = true;

  constructor(code: ErrorCode, details: ErrorDetails, cause?: unknown) {
    const entry = ERRORS[code];
    super(fill(entry.message, details), cause === undefined ? undefined : { cause });
    this.code = code;
    this.exitCode = entry.exit;
    const hint = typeof entry.hint === "function" ? entry.hint(details) : entry.hint;
    this.hint = hint === undefined ? undefined : fill(hint, details);
    this.retryable = entry.retryable === true;
    this.details = details;
  }

  static {
    Object.defineProperty(StrataError.prototype, "name", { value: "StrataError", configurable: true });
  }
}

/** Makes an error of the table: `throw failure("INSTANCE_NOT_FOUND", { name })`. */
export function failure(code: ErrorCode, details: ErrorDetails = {}, cause?: unknown): StrataError {
  return new StrataError(code, details, cause);
}

/** True for a StrataError of any copy of this module (a plugin may bring its own). */
export function isStrataError(value: unknown): value is StrataError {
  return value instanceof Error && brand in value;
}

/** Wraps whatever was thrown; a StrataError and an abort keep their meaning. */
export function asStrataError(value: unknown): StrataError {
  if (isStrataError(value)) return value;
  if (value instanceof Error && value.name === "AbortError") return failure("CANCELLED", {}, value);
  return failure("INTERNAL", { reason: value instanceof Error ? value.message : String(value) }, value);
}

function fill(template: string, details: ErrorDetails): string {
  return template.replace(/\{(\w+)\}/g, (whole, key: string) => {
    const value = details[key];
    if (value === undefined) return whole;
    return typeof value === "bigint" ? exactSize(value) : String(value);
  });
}

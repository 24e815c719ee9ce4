import type { Details, ErrorDetail, ErrorDetails, Placeholder, RowDetails } from "./details.ts";

/**
 * Every failure that strata reports, in one table: a stable code, the exit code of the process,
 * the message and, where there is something to do, a hint. Placeholders `{name}` are filled from the
 * error's details; a bigint there is a size in bytes. Between backticks in a hint, which are commands, a
 * value becomes one word of a shell. Scripts may rely on codes and exit codes; messages may be reworded.
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
  Starting: "`strata stop {name}` stops it.",
  "Delayed Shutdown":
    "`strata stop --cancel {name}` cancels the shutdown; `strata stop {name}` stops it at once.",
  Stopped: "`strata start {name}` starts it.",
};

/** What one may have meant, where the error knows it, before what helps anyway. */
const orNear =
  <Hint extends string>(hint: Hint) =>
  ({ near }: Details<Placeholder<Hint>> & { readonly near?: ErrorDetail }): string =>
    near === undefined ? hint : `Did you mean {near}? ${hint}`;

interface Entry {
  readonly exit: number;
  readonly message: string;
  /** What to do; a function of the details where it is not always the same. */
  readonly hint?: string | ((details: ErrorDetails) => string | undefined);
  /** The same call may succeed later without anything being changed. */
  readonly retryable?: true;
}

/** An entry as it is typed below: a hint that is a function says which details it needs. */
type Row = Omit<Entry, "hint"> & { readonly hint?: string | ((details: never) => string | undefined) };

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
    hint: orNear("`strata get --keys` lists the keys that exist."),
  },
  CONFIRMATION_REQUIRED: {
    exit: EXIT.usage,
    message: "{what} requires {option} when there is no terminal to prompt on",
  },
  DISK_SHRINK: {
    exit: EXIT.usage,
    message: 'the disk of "{name}" cannot shrink from {current} to {wanted}',
    hint: ({ disk }: { readonly disk?: ErrorDetail }) =>
      `${disk === undefined ? "A disk" : `Its disk ${disk}`} can only grow: shrinking it would cut off data.`,
  },
  INSTANCE_NOT_FOUND: {
    exit: EXIT.notFound,
    message: 'instance "{name}" does not exist',
    hint: orNear("`strata list` shows the instances."),
  },
  SNAPSHOT_NOT_FOUND: {
    exit: EXIT.notFound,
    message: 'snapshot "{snapshot}" of instance "{name}" does not exist',
    hint: orNear("`strata list --snapshots` shows the snapshots."),
  },
  IMAGE_NOT_FOUND: {
    exit: EXIT.notFound,
    message: 'image "{image}" was not found',
    hint: orNear(
      "`strata find` shows the images that can be launched, `strata image list` those on this host.",
    ),
  },
  REMOTE_NOT_FOUND: {
    exit: EXIT.notFound,
    message: 'image remote "{remote}" does not exist',
    hint: "Known remotes: {known}. Define further ones in {path}.",
  },
  NO_IMAGE: {
    exit: EXIT.notFound,
    message: "there is no image on this host, and none could be downloaded: {reason}",
    hint: "Build one from Debian's packages: strata image build debian --variant {variant}",
  },
  IMAGE_NOT_BUILT: {
    exit: EXIT.notFound,
    message: 'image "{image}" has not been built',
    hint: "Build it from Debian's packages: `strata image build debian --variant {variant}`",
  },
  FILE_NOT_FOUND: { exit: EXIT.notFound, message: 'file "{path}" does not exist or cannot be read' },
  DOMAIN_NOT_FOUND: {
    exit: EXIT.notFound,
    message: 'domain "{name}" does not exist',
    hint: "`strata adopt` without a name lists the domains that can be adopted.",
  },
  FINDING_NOT_FOUND: {
    exit: EXIT.notFound,
    message: 'doctor found no problem with "{subject}"',
    hint: ({ known }: Details<"known">) => (known === "" ? undefined : "It found problems with {known}."),
  },
  INSTANCE_ELSEWHERE: {
    exit: EXIT.notFound,
    message: 'instance "{name}" is not on engine {driver}; it is on {engine}',
    hint: "Select its engine with `strata --driver {engine}`.",
  },
  INSTANCE_EXISTS: {
    exit: EXIT.exists,
    message: 'instance "{name}" already exists',
    hint: "Choose another name. A deleted instance keeps its name until `strata purge`.",
  },
  IMAGE_EXISTS: {
    exit: EXIT.exists,
    message: 'image "{image}" already exists',
    hint: "Choose another name; `strata image list` shows the names in use.",
  },
  SNAPSHOT_EXISTS: {
    exit: EXIT.exists,
    message: "Snapshot already exists: {name}.{snapshot}",
    hint: "Choose another name; `strata list --snapshots {name}` shows the names in use.",
  },
  DISK_NOT_FOUND: {
    exit: EXIT.notFound,
    message: '"{name}" has no disk "{disk}"',
    hint: orNear("`strata disk list {name}` shows its disks."),
  },
  FILE_NOT_OURS: {
    exit: EXIT.exists,
    message: "{path} was not written by strata",
    hint: "Move it away, then run the command again.",
  },
  ALIAS_EXISTS: {
    exit: EXIT.exists,
    message: 'alias "{name}" already exists in context "{context}"',
    hint: "Choose another name, or remove this alias first: `strata unalias {name}`",
  },
  ALIAS_NOT_FOUND: {
    exit: EXIT.notFound,
    message: 'alias "{name}" does not exist',
    hint: orNear("`strata aliases` shows the aliases."),
  },
  CONTEXT_EXISTS: {
    exit: EXIT.exists,
    message: 'context "{name}" already exists, for {address}',
    hint: "Choose another name, or remove this context first: `strata context delete {name}`",
  },
  CONTEXT_NOT_FOUND: {
    exit: EXIT.notFound,
    message: 'context "{name}" does not exist',
    hint: orNear("`strata context list` shows the contexts; `strata context add` adds one."),
  },
  HOST_UNREACHABLE: {
    exit: EXIT.unavailable,
    message: 'host "{host}" cannot be reached: {reason}',
    hint: "The reason is ssh's own. Once `ssh {address}` logs in, strata can reach the host too.",
    retryable: true,
  },
  HOST_LOST: {
    exit: EXIT.unavailable,
    message: 'the connection to host "{host}" was lost',
    hint: "The command may or may not have been carried out: `strata --host {host} info` and `strata --host {host} doctor` show the current state.",
    retryable: true,
  },
  INSTANCE_DELETED: {
    exit: EXIT.state,
    message: 'instance "{name}" is deleted',
    hint: "`strata recover {name}` brings it back; `strata purge` deletes it permanently.",
  },
  IDENTITY_TAKEN: {
    exit: EXIT.exists,
    message: 'instance "{name}" cannot stay the machine that it was: {reason}',
    hint: "Without `--identity keep`, it becomes another machine.",
  },
  INSTANCE_MOVING: {
    exit: EXIT.state,
    message: 'instance "{name}" is being moved from one host to another',
    hint: "`strata move` again on the host that it comes from finishes that. If that can never be, `strata recover {name}` makes it usable here, and it must not be used on the other host.",
  },
  INSTANCE_NOT_DELETED: { exit: EXIT.state, message: 'instance "{name}" is not deleted' },
  MOUNT_EXISTS: {
    exit: EXIT.exists,
    message: '"{name}" already has a mount at {target}',
    hint: "`strata umount {name}:{target}` removes it.",
  },
  MOUNT_NOT_FOUND: {
    exit: EXIT.notFound,
    message: '"{name}" has no mount at {target}',
    hint: "`strata info {name}` shows its mounts.",
  },
  MOUNT_BUSY: {
    exit: EXIT.busy,
    message: 'the mount at {target} in "{name}" is in use',
    hint: "Leave the folder and close its open files. In the guest, `fuser -vm {target}` shows what uses it.",
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
    hint: ({ state }: Details<"name" | "state">) => STATE_REMEDIES[String(state)],
  },
  INSTANCE_SUSPENDED: {
    exit: EXIT.state,
    message: '{reason}: "{name}" is Suspended',
    hint: "Its saved memory belongs to its current disk. Run `strata start {name}`, then `strata stop {name}`.",
  },
  AGENT_MISSING: {
    exit: EXIT.unavailable,
    message: 'the guest agent of "{name}" does not answer: {reason}',
    hint: "In the guest, install qemu-guest-agent and start it; `strata snapshot {name}` without --quiesce needs no agent.",
  },
  MEMORY_UNLOADABLE: {
    exit: EXIT.integrity,
    message: 'the memory of snapshot "{snapshot}" of "{name}" cannot be loaded: {reason}',
    hint: "`strata restore --disk-only {name}.{snapshot}` brings back its disks, and the guest boots from them.",
  },
  GROUP_NOT_FOUND: {
    exit: EXIT.notFound,
    message: 'no snapshots were taken together under the name "{group}"',
    hint: "`strata list --snapshots` shows the snapshots and their groups.",
  },
  HAS_SNAPSHOTS: {
    exit: EXIT.state,
    message: '{reason}: "{name}" has {count}',
    hint: "`strata list --snapshots` shows them; `strata delete --purge {name}.SNAPSHOT` deletes one.",
  },
  DISK_IN_SNAPSHOT: {
    exit: EXIT.state,
    message: 'disk "{disk}" of "{name}" is part of snapshot "{snapshot}"',
    hint: "Delete the snapshots that have it, or leave it out of those to come: `strata disk exclude {name} {disk}`",
  },
  CHECKPOINTS_IN_WAY: {
    exit: EXIT.state,
    message: 'libvirt refuses this while "{name}" has checkpoints: {checkpoints}',
    hint: "They belong to a backup tool, so strata does not remove them. `virsh checkpoint-list {name}` lists them; `virsh checkpoint-delete {name} CHECKPOINT` deletes one (with `--metadata` while the instance is stopped). The tool's next backup is then a full one.",
  },
  OPERATION_UNFINISHED: {
    exit: EXIT.state,
    message: 'an earlier operation ({kind}) on "{name}" could not be finished: {reason}',
    hint: "`strata doctor` shows it and the repairs that are possible. `strata stop`, `strata info` and `strata delete --purge` still work.",
  },
  CONSOLE_BUSY: {
    exit: EXIT.busy,
    message: 'the console of "{name}" is open elsewhere',
    hint: "`strata console --force {name}` takes it over.",
    retryable: true,
  },
  BUSY: {
    exit: EXIT.busy,
    message: 'another operation on "{name}" is in progress',
    hint: "Try again when it has finished.",
    retryable: true,
  },
  LAYER_PINNED: {
    exit: EXIT.busy,
    message: "a backup reads {path}, which must not change meanwhile",
    hint: "Try again when the backup has ended. Starting, stopping, taking and restoring snapshots need not wait.",
    retryable: true,
  },
  LOCK_REQUIRED: {
    exit: EXIT.failure,
    message: 'this call needs the lock on instance "{name}", and it is not held',
    hint: "This is a bug in strata, or in whatever else called the engine. Please report it.",
  },
  ENGINE_UNAVAILABLE: {
    exit: EXIT.unavailable,
    message: "{engine} cannot be reached: {reason}",
    hint: ({ installed }: { readonly installed?: ErrorDetail }) =>
      installed === false
        ? "`strata setup` installs it. Instances of another host need none here: `strata --host HOST list`."
        : "`strata doctor` shows what is missing and how to fix it.",
    retryable: true,
  },
  ENGINE_LOST: {
    exit: EXIT.unavailable,
    message: "the connection to {engine} was lost: {reason}",
    hint: "The command may or may not have been carried out: `strata info` and `strata doctor` show the current state.",
    retryable: true,
  },
  ENGINE_ERROR: { exit: EXIT.failure, message: "{engine}: {reason}" },
  PERMISSION_DENIED: { exit: EXIT.denied, message: "permission denied: {reason}" },
  FOLDER_UNUSABLE: {
    exit: EXIT.denied,
    message: "strata cannot use {path}: {reason}",
    hint: "strata keeps its own files there. Make the folder readable and writable for your user, or choose another with HOME, XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_CACHE_HOME or XDG_STATE_HOME.",
  },
  IMAGE_STORE_UNUSABLE: {
    exit: EXIT.denied,
    message: "strata cannot change the images for all users in {path}: {reason}",
    hint: "Only root keeps images for all users. Without --system the image is your own.",
  },
  NO_SPACE: {
    exit: EXIT.exhausted,
    message: "no space left on {where}",
    hint: "Free some space and run the command again.",
  },
  PORT_TAKEN: { exit: EXIT.exhausted, message: "port {port} on this host is in use", retryable: true },
  TIMEOUT: { exit: EXIT.timeout, message: "timed out after {seconds} s: {what}" },
  GUEST_UNREACHABLE: {
    exit: EXIT.timeout,
    message: 'the guest of "{name}" does not answer: {reason}',
    hint: "It may still be starting: `strata info {name}` shows its state.",
    retryable: true,
  },
  GUEST_REFUSED: {
    exit: EXIT.denied,
    message: 'the guest of "{name}" refused the login as {username}: {reason}',
    hint: "It accepts only the ssh key of the user who launched it. With user-data of your own, `users` must contain `default`, and the default user must keep its name.",
  },
  COMMAND_TOO_LONG: {
    exit: EXIT.usage,
    message: 'the guest of "{name}" does not take a command line of {length} bytes: {reason}',
    hint: "Send the data on standard input, or copy it into a file with `strata transfer`.",
  },
  NO_LOGIN: {
    exit: EXIT.denied,
    message:
      'strata cannot log in to "{name}": it was adopted, or launched from a CD-ROM, without a user name',
    hint: "Of an adopted instance: add strata's key to a user's authorized_keys in the guest, then release it and adopt it again with --username.",
  },
  HOST_KEY_CHANGED: {
    exit: EXIT.denied,
    message: 'the ssh host key of "{name}" has changed since the first connection',
    hint: "Another machine may be answering at its address. Nothing was sent to it.",
  },
  NO_PASSPHRASE: {
    exit: EXIT.unsupported,
    message: "strata has no passphrase, because it has no service to log in to",
    hint: "The permissions of the engine's socket decide who may use it; `strata authenticate` checks whether you may.",
  },
  UNSUPPORTED: { exit: EXIT.unsupported, message: "{what} is not supported by {engine}: {reason}" },
  IMAGE_UNREADABLE: { exit: EXIT.integrity, message: 'image "{image}" cannot be read: {reason}' },
  IMAGE_HAS_BACKING: {
    exit: EXIT.integrity,
    message: 'image "{image}" refers to another file ({file})',
    hint: "Such an image could read any file on this host. If you trust it, turn it into one file first: `qemu-img convert -f {format} -O qcow2 IN OUT`",
  },
  IMAGE_IS_CDROM: {
    exit: EXIT.usage,
    message: 'image "{image}" is a CD-ROM (ISO 9660), not a disk',
    hint: "If it is an installer, boot it with an empty disk: `strata launch --cdrom {image} --disk 20G`",
  },
  CHECKSUM_MISMATCH: {
    exit: EXIT.integrity,
    message: 'image "{image}" has SHA-256 {actual}, expected {expected}',
    hint: "The file was removed. Download it again, or check the expected value.",
  },
  IMAGE_ALTERED: {
    exit: EXIT.integrity,
    message: 'image "{image}" in {path} has SHA-256 {actual}, and its record says {expected}',
    hint: "Root keeps this image for all users, and its file has changed since it was added. Root can remove it with `strata image delete --system {image}` and add it again.",
  },
  SIZE_MISMATCH: {
    exit: EXIT.integrity,
    message: 'image "{image}" has {actual} bytes, expected {expected}',
    hint: "The download was removed. The server may be replacing its files: try again later.",
  },
  CHECKSUM_REQUIRED: {
    exit: EXIT.usage,
    message: 'no checksum given for "{image}"',
    hint: "Append #sha256=HEX to the URL: strata verifies every download.",
  },
  PARCEL_BROKEN: {
    exit: EXIT.integrity,
    message: "what is to be imported cannot be trusted: {reason}",
    hint: "Nothing of it was kept. Export the instance again, or transfer the file again.",
  },
  CATALOGUE_UNREADABLE: {
    exit: EXIT.integrity,
    message: 'the image catalogue of "{remote}" cannot be used: {reason}',
    hint: "None of it was used. Images in the cache can still be launched.",
  },
  DOWNLOAD_FAILED: {
    exit: EXIT.unavailable,
    message: 'download of "{url}" failed: {reason}',
    retryable: true,
  },
  TRANSFER_FAILED: { exit: EXIT.failure, message: '"{path}" cannot be transferred: {reason}' },
  TRANSFER_INCOMPLETE: {
    exit: EXIT.failure,
    message: "everything was transferred but {count} names that are not UTF-8: {names}",
    hint: "Rename them, or pack them where they are: strata exec NAME -- tar -c FOLDER > ARCHIVE",
  },
  TRANSFER_UNSAFE: {
    exit: EXIT.integrity,
    message: 'the guest of "{name}" sent "{path}", which is outside the requested path',
    hint: "Nothing was written there. Files received before it were kept.",
  },
  MEDIUM_MISSING: {
    exit: EXIT.notFound,
    message: 'the drive {drive} of "{name}" contains {path}, which does not exist',
    hint: "`strata disk eject {name} {drive}` takes it out; or bring the file back.",
  },
  LAYER_MISSING: {
    exit: EXIT.integrity,
    message: 'a layer of "{name}" is missing: {path}',
    hint: "Restore the file from a backup to the same path. `strata doctor` shows everything that is missing.",
  },
  FOLDER_MISSING: {
    exit: EXIT.integrity,
    message: 'the folder of "{name}" is missing, with all its layers: {path}',
    hint: "Bring it back from a backup, to the same path, or mount what it is on. `strata stop --force {name}` and `strata info {name}` work all the same; `strata delete --purge {name}` gives it up.",
  },
  LAYER_UNREADABLE: { exit: EXIT.integrity, message: 'a layer of "{name}" cannot be read: {path}: {reason}' },
  CHAIN_TOO_DEEP: {
    exit: EXIT.unsupported,
    message: '"{name}" would need a chain of {depth} layers, but {engine} can start at most {limit}',
    hint: "Delete snapshots that are no longer needed.",
  },
  RECORDS_DIFFER: {
    exit: EXIT.integrity,
    message: 'the records of "{name}" are inconsistent: {reason}',
    hint: "`strata doctor` shows the inconsistency and the repairs that are possible.",
  },
  RECORD_TOO_NEW: {
    exit: EXIT.unsupported,
    message: 'the record of "{name}" was written by a newer version of strata: {reason}',
    hint: "Use that newer version. If it is no longer available, `strata doctor` shows what else can be done.",
  },
  RECORD_FORGOTTEN: {
    exit: EXIT.exhausted,
    message: '{engine} could not save its record of snapshot "{snapshot}" of "{name}" and no longer lists it',
    hint: "The snapshot's data is intact. Free some space and run the command again. If it fails again, restart libvirtd: guests keep running, and the snapshot is listed again.",
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
    message: 'engine "{plugin}" does not exist; available: {known}',
    hint: "To add an engine from a package, name the package in the setting local.plugins; `strata plugins` lists all engines.",
  },
  PLUGIN_MISSING: {
    exit: EXIT.notFound,
    message: 'the engine plugin "{package}" is not installed',
    hint: "It runs with your permissions, so check the name with its author. `npm install --prefix {folder} {package}` installs it.",
  },
  PLUGIN_INCOMPATIBLE: {
    exit: EXIT.unsupported,
    message:
      'engine plugin "{plugin}" requires version {wanted} of the engine contract; this strata has {version}',
    hint: "Install a version of the plugin that supports this strata.",
  },
  PLUGIN_DUPLICATE: {
    exit: EXIT.exists,
    message: 'two engines have the name "{plugin}": {first} and {second}',
    hint: "Remove one of them from the setting local.plugins; until then the first is used.",
  },
  OUTPUT_FAILED: {
    exit: EXIT.output,
    message: "the output could not be written: {reason}; {outcome}",
  },
  CANCELLED: { exit: EXIT.cancelled, message: "cancelled" },
  INTERNAL: {
    exit: EXIT.failure,
    message: "internal error: {reason}",
    hint: "This is a bug in strata. Please report it.",
  },
} as const satisfies Record<string, Row>;

export type ErrorCode = keyof typeof entries;
export const ERRORS = entries as Readonly<Record<ErrorCode, Entry>>;

/** The details that an error of that code has: all that its message and its hint name. */
export type DetailsOf<Code extends ErrorCode> = RowDetails<(typeof entries)[Code]>;

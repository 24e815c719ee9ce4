import type { ErrorCode } from "../../errors.ts";

/** What docs/errors.md says about an error in addition to its message and hint. */
interface Note {
  /** When strata reports it. */
  readonly means: string;
  /** What to do, if the hint does not say everything. */
  readonly remedy?: string;
}

/** One for every code; the compiler refuses a missing one. */
export const ERROR_NOTES: Readonly<Record<ErrorCode, Note>> = {
  USAGE: {
    means: "The arguments or options of the command do not fit together.",
    remedy: "Correct the command as the message says; `strata help COMMAND` shows its usage.",
  },
  INVALID_NAME: { means: "A name of an instance or snapshot does not follow the rules for names." },
  INVALID_SIZE: { means: "A size is not written in a form that strata accepts." },
  SIZE_TOO_SMALL: {
    means: "Memory or disk is smaller than the minimum, or the disk is smaller than the image.",
    remedy: "Choose at least the minimum that the message gives.",
  },
  INVALID_VALUE: {
    means: "The value of an option, argument, setting or file is not allowed.",
    remedy: "Correct the value; the message says what it must be.",
  },
  UNKNOWN_SETTING: { means: "No setting has this key, now that these instances and snapshots exist." },
  CONFIRMATION_REQUIRED: {
    means: "The command would ask a question, but standard input or output is not a terminal.",
    remedy: "Give the option that the message names, after checking that you want what it does.",
  },
  DISK_SHRINK: { means: "The requested disk size is smaller than the current one." },
  INSTANCE_NOT_FOUND: { means: "No engine in use has an instance with this name." },
  SNAPSHOT_NOT_FOUND: { means: "The instance exists, but has no snapshot with this name." },
  IMAGE_NOT_FOUND: { means: "Neither the cache nor a remote has an image with this alias or hash." },
  REMOTE_NOT_FOUND: { means: "The part before the colon in `REMOTE:ALIAS` is not the name of a remote." },
  NO_IMAGE: {
    means: "An instance was to be launched without naming an image, on a host that has none and no network.",
    remedy: "`strata launch --build` builds the image and then launches it.",
  },
  IMAGE_NOT_BUILT: { means: "This image is built on this host, and that has not happened yet." },
  FILE_NOT_FOUND: {
    means: "A file on this host does not exist, or you do not have permission to read it.",
    remedy: "Check the path and the permissions of the file and its folders.",
  },
  DOMAIN_NOT_FOUND: { means: "The libvirt domain to adopt does not exist." },
  FINDING_NOT_FOUND: { means: "`doctor --only` names a file or snapshot without a problem." },
  INSTANCE_ELSEWHERE: { means: "The instance exists, but on another engine than the one that was asked." },
  INSTANCE_EXISTS: {
    means: "The name is in use, possibly by a deleted instance or by a domain that strata does not manage.",
  },
  IMAGE_EXISTS: { means: "Another image on this host has this name." },
  SNAPSHOT_EXISTS: { means: "The instance already has a snapshot with this name. Nothing was changed." },
  DISK_NOT_FOUND: {
    means: "The instance exists, but has no further disk with this name.",
    remedy: "The system disk cannot be removed or excluded.",
  },
  FILE_NOT_OURS: {
    means:
      "At the place of a file that strata would write is one that it did not write, or another user's strata did.",
  },
  ALIAS_EXISTS: { means: "The active context already has an alias with this name." },
  ALIAS_NOT_FOUND: { means: "No alias has this name in the context that was meant." },
  CONTEXT_EXISTS: { means: "Another host has this name already. Nothing was changed." },
  CONTEXT_NOT_FOUND: {
    means:
      "`--host` or the variable `STRATA_HOST` names neither a context nor an address such as `ssh://USER@HOST`.",
  },
  HOST_UNREACHABLE: {
    means: "ssh could not log in to the host: it does not answer, refuses the key, or has another host key.",
  },
  HOST_LOST: { means: "The connection to the host broke while a command ran there." },
  INSTANCE_DELETED: {
    means: "A deleted instance accepts only `recover`, `purge`, `info` and `delete --purge`.",
  },
  IDENTITY_TAKEN: {
    means:
      "An import was to keep its identity, which something here has already, or which the file does not tell.",
  },
  INSTANCE_MOVING: {
    means:
      "A move to another host was cut off between its two last steps, so that neither host may start the instance.",
  },
  INSTANCE_NOT_DELETED: {
    means: "Only a deleted instance can be recovered.",
    remedy: "Nothing needs to be recovered; `strata list` shows the instance's state.",
  },
  MOUNT_EXISTS: { means: "Another folder is mounted at this path in the instance." },
  MOUNT_NOT_FOUND: { means: "Nothing is mounted at this path in the instance." },
  MOUNT_BUSY: { means: "The guest cannot unmount the folder while a process uses it." },
  MOUNT_FAILED: {
    means: "The guest refused to mount the folder.",
    remedy: "Correct what the reason names, such as a missing kernel module in the guest.",
  },
  MOUNTS_DISABLED: { means: "The setting `local.privileged-mounts` is `false`." },
  MOUNT_REFUSED: {
    means: "The engine cannot offer this folder to the instance.",
    remedy: "Correct what the reason names; `strata transfer` copies files without a mount.",
  },
  WRONG_STATE: { means: "The command needs the instance in another state, such as Stopped." },
  INSTANCE_SUSPENDED: {
    means: "The command would change the disk under the saved memory of a suspended instance.",
  },
  AGENT_MISSING: {
    means: "`snapshot --quiesce` freezes the guest's file systems through its agent, and no agent answered.",
  },
  MEMORY_UNLOADABLE: {
    means:
      "The memory in a snapshot fits only the machine that it was taken on: the same CPU and version of QEMU.",
  },
  GROUP_NOT_FOUND: { means: "`--group` names snapshots that one command took of several instances." },
  HAS_SNAPSHOTS: { means: "The command is possible only for an instance without snapshots." },
  DISK_IN_SNAPSHOT: {
    means:
      "The disk was to be removed, but a snapshot has its contents and could not be restored without it.",
  },
  CHECKPOINTS_IN_WAY: { means: "libvirt refuses some operations while a domain has checkpoints." },
  OPERATION_UNFINISHED: {
    means: "An operation was interrupted, for example by a power cut, and finishing or undoing it failed.",
  },
  LAYER_PINNED: {
    means: "A disk was to be grown, repaired, released or purged while a backup reads it.",
  },
  CONSOLE_BUSY: {
    means:
      "Another client has the serial console of the instance open, and a console has one client at a time.",
  },
  BUSY: {
    means:
      "The lock on the instance, or on another resource, was not released in time, two minutes for an instance.",
  },
  ENGINE_UNAVAILABLE: { means: "The engine is not installed, not running, or you may not connect to it." },
  ENGINE_LOST: { means: "The connection to the engine broke while a call was in progress." },
  ENGINE_ERROR: {
    means: "The engine refused a call for a reason that has no code of its own.",
    remedy: "The reason is the engine's own message; with `-v` its causes are shown too.",
  },
  PERMISSION_DENIED: {
    means: "You, or the guest's user, do not have permission for a file, a socket or an operation.",
    remedy: "Correct the permission that the reason names, or run strata as a user who has it.",
  },
  FOLDER_UNUSABLE: { means: "A folder for settings, keys, cache or log cannot be read or written." },
  IMAGE_STORE_UNUSABLE: {
    means: "The folder of the images for all users cannot be written, or others than root could change it.",
    remedy:
      "The folder and all above it must belong to root, and only root may write them. The setting `local.image.store` names it.",
  },
  NO_SPACE: {
    means:
      "A file system is full, or would be; the message says how much space is needed where that is known.",
  },
  PORT_TAKEN: {
    means:
      "Another process listens on a port of this host: the one for an instance's ssh, or one to be forwarded.",
    remedy: "Stop the process that uses the port, choose another one, or run the command again.",
  },
  TIMEOUT: {
    means: "An operation did not finish within its time limit.",
    remedy: "Check with `strata info` what was done; give a longer `--timeout` where the command has one.",
  },
  GUEST_UNREACHABLE: { means: "The guest has no address, does not accept connections, or closed one." },
  GUEST_REFUSED: { means: "The guest's ssh server answers, but rejects strata's key." },
  COMMAND_TOO_LONG: {
    means:
      "The command with its arguments is longer than the guest's ssh server or kernel accepts: 128 KiB with OpenSSH, about 9 KB with Dropbear.",
  },
  NO_LOGIN: { means: "The command has to log in to the guest, and strata does not know a user for it." },
  HOST_KEY_CHANGED: {
    means:
      "The ssh server at the instance's address does not have the key that strata stored at the first contact.",
    remedy: "Find out which machine answers at the address before you trust it.",
  },
  NO_PASSPHRASE: { means: "Tools with a service ask for its passphrase; strata has no service." },
  UNSUPPORTED: {
    means: "The engine does not have the feature that the command needs.",
    remedy: "The reason says what is missing; `strata plugins` lists the features of every engine.",
  },
  IMAGE_UNREADABLE: {
    means: "The file is not a disk image that strata accepts, or it is damaged or encrypted.",
    remedy:
      "`qemu-img info FILE` and `qemu-img check FILE` show its format and state; the guide lists the formats that are accepted.",
  },
  IMAGE_HAS_BACKING: {
    means: "The image is only part of a disk; the rest is in a backing file, a parent disk or a data file.",
  },
  IMAGE_IS_CDROM: { means: "Instances are launched from disks; an ISO has to be booted beside one." },
  CHECKSUM_MISMATCH: { means: "The contents of the image are not those that the checksum describes." },
  SIZE_MISMATCH: { means: "The length of the download is not the one in the catalogue." },
  IMAGE_ALTERED: {
    means:
      "The file of an image for all users is damaged, or was changed by somebody with root's permissions.",
  },
  CHECKSUM_REQUIRED: { means: "An image from a URL was given without a checksum." },
  PARCEL_BROKEN: {
    means:
      "What `strata import` reads is not an export of strata, is cut off or damaged, or holds what no export holds.",
  },
  CATALOGUE_UNREADABLE: {
    means: "A remote's catalogue is not in simplestreams form, or points to another server.",
  },
  DOWNLOAD_FAILED: {
    means: "The server did not answer, or not with the file.",
    remedy: "Check the URL and the network, and run the command again.",
  },
  TRANSFER_FAILED: {
    means: "A file could not be read from, or written to, the host or the guest.",
    remedy: "Correct what the reason names, for example with `--recursive` or `--parents`.",
  },
  TRANSFER_INCOMPLETE: {
    means:
      "Names on the way, or what a link says, were bytes that are not UTF-8. All others were transferred.",
  },
  TRANSFER_UNSAFE: { means: "The guest sent a file for a place outside the destination." },
  FOLDER_MISSING: {
    means: "The folder with the instance's layers was removed, or the disk that it is on is not mounted.",
  },
  MEDIUM_MISSING: {
    means:
      "What was in a CD or floppy drive when the definition or the snapshot was made has been removed since.",
  },
  LAYER_MISSING: { means: "A file that holds part of the instance's disk or of a snapshot does not exist." },
  LAYER_UNREADABLE: {
    means: "A file that holds part of the instance's disk or of a snapshot is damaged or cannot be opened.",
    remedy: "Run `strata doctor --deep`; restore a damaged file from a backup to the same path.",
  },
  CHAIN_TOO_DEEP: { means: "The disk would consist of more files than the engine can open." },
  RECORDS_DIFFER: {
    means:
      "The definition, the snapshot records and the files of an instance contradict each other, so strata does not guess.",
  },
  RECORD_TOO_NEW: { means: "The record has a format that this version of strata does not know." },
  RECORD_FORGOTTEN: {
    means: "libvirt could not write a snapshot's record to disk, usually because the file system is full.",
  },
  PROGRAM_MISSING: { means: "strata needs a program that is not on the PATH." },
  PROGRAM_FAILED: {
    means: "A program that strata runs exited with an error.",
    remedy: "The reason is the program's own message.",
  },
  PLUGIN_ERROR: {
    means: "An engine plugin is broken: its package, its module or one of its answers.",
    remedy: "Correct the package, or report the message to the author of the plugin.",
  },
  PLUGIN_UNKNOWN: { means: "The engine that was named is neither built in nor in `local.plugins`." },
  PLUGIN_MISSING: {
    means: "`local.plugins` names a package that is not installed; the hint is the command to install it.",
  },
  PLUGIN_INCOMPATIBLE: { means: "The plugin was written for another version of the engine contract." },
  PLUGIN_DUPLICATE: {
    means: "Two packages, or a package and a built-in engine, bring an engine with the same name.",
  },
  OUTPUT_FAILED: {
    means: "Standard output could not be written, for example because the disk it goes to is full.",
    remedy:
      "The message says whether the command itself was carried out. Correct the output before repeating it.",
  },
  CANCELLED: {
    means: "The command was interrupted by Ctrl-C, SIGTERM or the end of input at a question.",
    remedy: "Run the command again if you still want it.",
  },
  LOCK_REQUIRED: {
    means:
      "A call that changes an instance was made without the instance's lock, or with one that was released. Nothing was changed.",
  },
  INTERNAL: { means: "strata reached a state that it should not be able to reach." },
};

/**
 * LXD's messages that have no status of their own: the part of each that identifies it, what it means, and
 * the version it was seen in. Nothing else in this plugin matches words in LXD's messages, or in a
 * container's log. Seen in LXD 5.0.2 unless another version is named.
 */

/** With 404: the instance itself is not there, nothing of it. "Instance not found" */
export const INSTANCE_NOT_FOUND = /Instance not found/i;

/**
 * An instance has the name: "Failed creating instance record: Add instance info to the database: This \"instances\"
 * entry already exists"; of other things "Name \"web\" already in use".
 */
export const NAME_TAKEN = /already exists|already in use/i;

/**
 * Another operation on the same instance is under way, and this one has not begun.
 * "Instance is busy running a \"create\" operation",
 * "Failed to create instance update operation: A matching non-reusable operation has now succeeded"
 */
export const INSTANCE_BUSY = /non-reusable operation|Instance is busy running/i;

/**
 * An instance of the name is being made, or was just now.
 * "Failed creating instance record: Instance is busy running a \"create\" operation", the same with "update"
 */
export const NAME_BEING_TAKEN = /Failed creating instance record: Instance is busy running/i;

/** What was to be stopped has stopped by itself. "The instance is already stopped" */
export const ALREADY_STOPPED = /already stopped/i;

/**
 * The guest has not shut down in the time it was given. Of a container "Failed shutting down instance, status is
 * \"Running\": shutting down the container failed", of a virtual machine "… context deadline exceeded".
 */
export const SHUTDOWN_TIMED_OUT = /shutting down the container failed|timed out|deadline exceeded|timeout/i;

/** An operation outlasts one wait for it. Incus 6.0.4: "context deadline exceeded"; LXD says how far it is. */
export const WAIT_TIMED_OUT = /deadline exceeded/;

/**
 * The config was changed, but the agent in a virtual machine could not be notified: LXD notifies a running
 * one of `user.*`. "VM agent isn't currently running", "Failed to connect to lxd-agent"; of Incus
 * "incus-agent"
 */
export const AGENT_NOT_TOLD = /VM agent isn't currently running|Failed to connect to \w+-agent/i;

/**
 * LXD has looked at what qemu-img says of a disk before all of that had come, on a busy host.
 * "unexpected end of JSON input"
 */
export const OUTPUT_MISREAD = /unexpected end of JSON input/;

/** ENOSPC or EDQUOT, as LXD quotes the system: "write …: No space left on device" */
export const SPACE_USED_UP = /No space left on device|Disk quota exceeded/i;

/**
 * LXD reports exit code 126, even if the command itself returned it, as a failure of its own. "Command not
 * executable"
 */
export const COMMAND_NOT_EXECUTABLE = /Command not executable/i;

/** The same with 127. "Command not found" */
export const COMMAND_NOT_FOUND = /Command not found/i;

/** LXC 5.0, in a container's log: it has no program to start, and all else went well. */
export const NO_INIT = /Failed to exec "\/sbin\/init"/;

/** LXC 5.0, in a container's log: the start is given up, and what was wrong is in the log by now. */
export const START_GIVEN_UP = /"ABORTING"|Failed to spawn container/;

/** LXC 5.0, in a container's log: the host refuses a map of ids. "newuidmap failed to write mapping …" */
export const ID_MAP_REFUSED = /new[ug]idmap failed/;

/** LXC 5.0: a line with an error in a container's log, with everything before the error. */
export const LOG_ERROR = /^.*? ERROR\s+\S+ - (\S+ - )?/;

/** Nothing was written on a container's console yet. "open : no such file or directory" */
export const CONSOLE_EMPTY = /\bopen [^:]*: no such file or directory/;

/**
 * What libvirt says in words alone, where its code tells nothing: of each message the part that tells it from others,
 * what it means, and the version that it was seen in. Nothing else in this plugin looks for words in what libvirt
 * says; what qemu-img says is in `qcow2/messages.ts`.
 */

/**
 * Another domain has the name. libvirt 9.0:
 * "operation failed: domain 'web' already exists with uuid 8a1e…"
 */
export const DOMAIN_NAME_TAKEN = /already exists with uuid/;

/**
 * The domain has a snapshot of that name. libvirt 9.0:
 * "operation failed: domain moment clean already exists"
 */
export const SNAPSHOT_NAME_TAKEN = /already exists$/;

/**
 * The domain has checkpoints, beside which its disk or its snapshots cannot be changed. libvirt 9.0:
 * "Operation not supported: cannot perform block operations while checkpoint exists"
 */
export const CHECKPOINTS_EXIST = /while checkpoint exists/;

/**
 * No port is left that a device could be plugged into while the guest runs. libvirt 9.0:
 * "internal error: No more available PCI slots"
 */
export const PCI_SLOTS_USED_UP = /No more available PCI slots/;

/**
 * The port of this host that is forwarded to the guest's sshd is in use; it is the first group. QEMU 7.2, told by
 * libvirt 9.0: "internal error: qemu unexpectedly closed the monitor: … -netdev user,id=…: Could not set up host
 * forwarding rule 'tcp:127.0.0.1:40123-:22'"
 */
export const PORT_IN_USE = /[Cc]ould not set up host forwarding rule '[^']*:(\d+)-/;

/** ENOSPC, as libvirt quotes the system: "cannot write data to file '…': No space left on device". libvirt 9.0. */
export const SPACE_USED_UP = /No space left on device/;

/** EACCES, as libvirt quotes the system: "Cannot create directory '…': Permission denied". libvirt 9.0. */
export const PERMISSION_DENIED = /[Pp]ermission denied/;

/**
 * The guest has locked the tray of a drive, as Linux does while a CD is mounted. From the sources of QEMU 7.2, not seen:
 * "Device '%s' is locked and force was not specified, wait for tray to open and try again"; and of libvirt 9.0:
 * "timed out waiting to open tray of '%s'"
 */
export const TRAY_LOCKED = /is locked and force was not specified|timed out waiting to open tray/;

/**
 * The console is open elsewhere. libvirt 9.0:
 * "operation failed: Active console session exists for this domain"
 */
export const CONSOLE_IN_USE = /Active console session exists/;

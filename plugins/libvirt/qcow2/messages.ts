/** What is read in the words that qemu-img prints: what each pattern means, and the version that it was seen in. */

/**
 * ENOSPC or EDQUOT, as qemu-img quotes the system. QEMU 7.2:
 * "qemu-img: error while writing at byte 0: No space left on device"
 */
export const SPACE_USED_UP = /No space left on device|Disk quota exceeded/;

/** How far `qemu-img -p` is, in percent, is the first group. QEMU 7.2: "    (42.13/100%)\r" */
export const PROGRESS = /\(([\d.]+)\/100%\)\s*$/;

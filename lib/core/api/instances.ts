import type { Readable } from "node:stream";
import type { ConsoleSession, Firmware, NicSpec } from "../../engine/contract.ts";
import type { Candidate, InstanceInfo, InstanceSummary, Listing, Optimized } from "./instance-info.ts";
import type { CallOptions, EachOptions } from "./session.ts";

/** One instance by its name, or several. */
export type InstanceNames = string | readonly string[];

/** Options of {@link StrataInstances.eject}. */
export interface EjectOptions extends CallOptions {
  /**
   * Name of the drive, such as "sda".
   *
   * @default the only one that has a medium
   */
  readonly drive?: string;
}

/** Options of {@link StrataInstances.launch}. */
export interface LaunchOptions extends CallOptions {
  /**
   * `24.04`, `daily:noble`, `debian`, a hash prefix, `./guest.qcow2`, `file://…`, `http(s)://…#sha256=HEX`; `blank`
   * is an empty disk, for a system that is installed from `cdrom`.
   */
  readonly image: string;
  /**
   * Letters, digits and hyphens, at most 63.
   *
   * @default two words that are free, such as "tidy-heron"
   */
  readonly name?: string;
  /**
   * From 1 to 1024; an engine may allow fewer, for the host's sake.
   *
   * @default 1
   */
  readonly cpus?: number;
  /**
   * Bytes; at least 128 MiB.
   *
   * @default 1 GiB
   */
  readonly memory?: bigint;
  /**
   * Virtual size, bytes; at least 512 MiB and the image's own size.
   *
   * @default 5 GiB, or the image's own size if that is more; 20 GiB of `blank`
   */
  readonly disk?: bigint;
  /**
   * Sizes of empty disks beside it, bytes; at least 1 MiB each. Snapshots have them too.
   *
   * @default none
   */
  readonly extraDisks?: readonly bigint[];
  /**
   * Path of an ISO on this host, from which the instance boots while its disk is empty. With `blank`, launch
   * does not wait for the guest.
   *
   * @default none
   */
  readonly cdrom?: string;
  /**
   * BIOS, UEFI, or UEFI that boots only what is signed (Secure Boot).
   *
   * @default what the engine takes by itself: BIOS on x86
   */
  readonly firmware?: Firmware;
  /**
   * With `blank`: the user of the installed system, as whom commands run.
   *
   * @default none: commands cannot run in it
   */
  readonly username?: string;
  /**
   * Folders of the host to mount; the target as in `MountPlace`.
   *
   * @default none
   */
  readonly mounts?: readonly { readonly source: string; readonly target?: string }[];
  /**
   * Text of the user's cloud-init user-data.
   *
   * @default none
   */
  readonly userData?: string;
  /**
   * Interfaces in addition to the default one; the network `bridged` is that of the setting.
   *
   * @default none
   */
  readonly networks?: readonly NicSpec[];
  /**
   * Cluster member to place it on, if the engine has a cluster.
   *
   * @default the engine's choice
   */
  readonly member?: string;
  /**
   * How long to wait for the guest, in milliseconds.
   *
   * @default 300_000
   */
  readonly timeout?: number;
}

/** Options of {@link StrataInstances.list} and {@link StrataInstances.listing}. */
export interface ListOptions {
  /**
   * Looks up the addresses of instances.
   *
   * @default true
   */
  readonly addresses?: boolean;
}

/** Options of {@link StrataInstances.info}. */
export interface InfoOptions extends CallOptions {
  /**
   * Asks running guests for their load, disk and memory.
   *
   * @default true
   */
  readonly askGuests?: boolean;
  /**
   * Looks for what instances are on their hosts: `macs`, `hostDisk` and `autostart`.
   *
   * @default false
   */
  readonly host?: boolean;
  /**
   * How long to wait for each guest that is still starting, in milliseconds.
   *
   * @default not at all: a guest that does not answer within 10 s is shown without this information
   */
  readonly wait?: number;
}

/** Options of {@link StrataInstances.start} and {@link StrataInstances.restart}. */
export interface StartOptions extends EachOptions {
  /**
   * How long to wait for each guest, in milliseconds.
   *
   * @default 300_000
   */
  readonly timeout?: number;
}

/** Options of {@link StrataInstances.stop}; at most one of `force`, `after` and `cancel`. */
export interface StopOptions extends EachOptions {
  /**
   * Cuts the power; discards the memory of a suspended instance.
   *
   * @default false
   */
  readonly force?: boolean;
  /**
   * How long the guest may take, in milliseconds.
   *
   * @default 120_000
   */
  readonly timeout?: number;
  /**
   * Schedules a shutdown in the guest after this many milliseconds, rounded up to minutes.
   *
   * @default 0: now
   */
  readonly after?: number;
  /**
   * Cancels a scheduled shutdown.
   *
   * @default false
   */
  readonly cancel?: boolean;
}

/** The changes of {@link StrataInstances.resize}; absent members stay as they are. */
export interface ResizeOptions extends CallOptions {
  /**
   * From 1 to 1024.
   *
   * @default unchanged
   */
  readonly cpus?: number;
  /**
   * Bytes; at least 128 MiB.
   *
   * @default unchanged
   */
  readonly memory?: bigint;
  /**
   * Virtual size of the system disk, bytes. A disk only grows.
   *
   * @default unchanged
   */
  readonly disk?: bigint;
  /**
   * Virtual sizes of further disks by their names, bytes.
   *
   * @default unchanged
   */
  readonly disks?: readonly { readonly name: string; readonly size: bigint }[];
}

/** Options of {@link StrataInstances.delete}. */
export interface DeleteOptions extends EachOptions {
  /**
   * Deletes instances permanently, with their snapshots; `recover` cannot bring them back.
   *
   * @default false
   */
  readonly purge?: boolean;
}

/** Options of {@link StrataInstances.purge}. */
export interface PurgeOptions extends CallOptions {
  /**
   * Gives up only these: the ones that a user was shown.
   *
   * @default every deleted instance
   */
  readonly only?: readonly string[];
}

/** Options of {@link StrataInstances.import}. */
export interface ImportOptions extends CallOptions {
  /** Name of the instance; the one that it had by default. */
  readonly name?: string;
  /**
   * Whether it is another machine, or the one that it was, with its UUID, MAC address, host keys and machine id.
   *
   * @default "new"
   */
  readonly identity?: "new" | "keep";
}

/** The strata on another host, for {@link StrataInstances.handOver}. */
export interface Receiver {
  /** Has the other host take in what `send` writes, as `takeIn` does. */
  accept(id: string, send: (to: NodeJS.WritableStream) => Promise<void>): Promise<void>;
  /** Has the other host admit it, as `admit` does. */
  admit(id: string): Promise<boolean>;
}

/** Options of {@link StrataInstances.admit}. */
export interface AdmitOptions extends CallOptions {
  /** What `handOver` calls this move. */
  readonly id: string;
}

/** Options of {@link StrataInstances.takeIn}. */
export interface TakeInOptions extends AdmitOptions {
  /** Name of the instance. */
  readonly name: string;
}

/** Options of {@link StrataInstances.clone}. */
export interface CloneOptions extends CallOptions {
  /**
   * Name of the copy.
   *
   * @default `NAME-cloneN`, with the lowest number that is free
   */
  readonly name?: string;
}

/** Options of {@link StrataInstances.export}. */
export interface ExportOptions extends CallOptions {
  /**
   * Name of the snapshot to export.
   *
   * @default the instance as it is, with all its snapshots
   */
  readonly snapshot?: string;
}

/** Options of {@link StrataInstances.exportDisk}. */
export interface ExportDiskOptions extends ExportOptions {
  /**
   * Name of the disk, such as "vdb".
   *
   * @default the system disk; `warn` gets a sentence for each of the others
   */
  readonly disk?: string;
}

/** Options of {@link StrataInstances.adopt}. */
export interface AdoptOptions extends CallOptions {
  /**
   * The user that commands run as.
   *
   * @default "": strata does not log in to it or wait for its guest
   */
  readonly username?: string;
  /**
   * What strata calls it. The domain keeps its own name, by which other tools find it.
   *
   * @default the domain's own name
   */
  readonly name?: string;
  /**
   * Names of disks that snapshots are to leave out.
   *
   * @default none; `warn` gets a sentence for each disk that they leave out anyway
   */
  readonly exclude?: readonly string[];
}

/**
 * What can be waited for: that an instance has been started or stopped, that it has an address, that a login works,
 * that cloud-init has finished.
 */
export type WaitState = "running" | "stopped" | "address" | "ssh" | "cloud-init";

/** Options of {@link StrataInstances.wait}. */
export interface WaitOptions extends CallOptions {
  /** What to wait for. */
  readonly for: WaitState;
  /**
   * How long to wait for all of them, in milliseconds.
   *
   * @default 300_000
   */
  readonly timeout?: number;
}

/** Options of {@link StrataInstances.logs}. */
export interface LogsOptions extends Pick<CallOptions, "signal"> {
  /**
   * No more than so many of the last lines.
   *
   * @default all that is kept
   */
  readonly lines?: number;
  /**
   * Goes on with what the guest writes, over restarts of it, until the signal.
   *
   * @default false
   */
  readonly follow?: boolean;
}

/** Options of {@link StrataInstances.console}. */
export interface ConsoleOptions extends Pick<CallOptions, "signal"> {
  /**
   * Takes the console over from whoever has it open.
   *
   * @default false: CONSOLE_BUSY
   */
  readonly force?: boolean;
  /**
   * Size of the terminal that it is shown on.
   *
   * @default 80 columns and 24 rows, where the engine wants to know
   */
  readonly tty?: { readonly columns: number; readonly rows: number };
}

/**
 * Instances. Calls can be repeated: stopping a stopped instance is not an error. If there are several names,
 * all are looked up before anything is changed.
 */
export interface StrataInstances {
  /**
   * Creates an instance, starts it and waits for its guest. A launch that fails before the guest was started
   * leaves nothing behind.
   *
   * @throws INSTANCE_EXISTS, INVALID_NAME, INVALID_VALUE, SIZE_TOO_SMALL, IMAGE_NOT_FOUND, IMAGE_NOT_BUILT,
   * DOWNLOAD_FAILED, CHECKSUM_MISMATCH, NO_SPACE, TIMEOUT or GUEST_UNREACHABLE while waiting
   */
  launch(options: LaunchOptions): Promise<{ readonly name: string }>;
  /**
   * All instances, by name. With several engines, one that fails is left out.
   *
   * @throws ENGINE_UNAVAILABLE if the only engine does not answer
   */
  list(options?: ListOptions): Promise<InstanceSummary[]>;
  /** The same, with the engines that were asked and those that failed. */
  listing(options?: ListOptions): Promise<Listing>;
  /**
   * Everything about instances, by name. A guest that does not answer is not an error; see `guestAnswered`.
   *
   * @param names - by default all
   * @throws INSTANCE_NOT_FOUND, before anything is read from guests
   */
  info(names?: InstanceNames, options?: InfoOptions): Promise<InstanceInfo[]>;
  /**
   * Starts instances, or resumes suspended ones, and waits for their guests. Cancels a delayed shutdown.
   *
   * @throws INSTANCE_NOT_FOUND, INSTANCE_DELETED, TIMEOUT, GUEST_UNREACHABLE
   */
  start(names: InstanceNames, options?: StartOptions): Promise<void>;
  /**
   * Shuts instances down. A suspended one is left alone unless `force` is given.
   *
   * @throws INSTANCE_NOT_FOUND, INSTANCE_DELETED, TIMEOUT for a guest that does not shut down
   */
  stop(names: InstanceNames, options?: StopOptions): Promise<void>;
  /**
   * Shuts instances down, starts them and waits for their guests.
   *
   * @throws INSTANCE_NOT_FOUND, INSTANCE_DELETED, INSTANCE_SUSPENDED, TIMEOUT
   */
  restart(names: InstanceNames, options?: StartOptions): Promise<void>;
  /**
   * Saves the memory of running instances and stops them; `start` resumes them. Cancels a delayed shutdown.
   *
   * @throws INSTANCE_NOT_FOUND, INSTANCE_DELETED, MOUNT_BUSY, UNSUPPORTED
   */
  suspend(names: InstanceNames, options?: EachOptions): Promise<void>;
  /**
   * Changes CPUs, memory or disks of a stopped instance: all given values, or nothing.
   *
   * @throws INSTANCE_NOT_FOUND, WRONG_STATE or INSTANCE_SUSPENDED unless stopped, INVALID_VALUE, SIZE_TOO_SMALL,
   * DISK_SHRINK, DISK_NOT_FOUND
   */
  resize(name: string, change: ResizeOptions): Promise<void>;
  /**
   * Shuts instances down and marks them as deleted; `recover` brings them back, `purge` removes them
   * permanently.
   *
   * @throws INSTANCE_NOT_FOUND, INSTANCE_DELETED unless `purge` is given
   */
  delete(names: InstanceNames, options?: DeleteOptions): Promise<void>;
  /**
   * Brings deleted instances back, stopped.
   *
   * @throws INSTANCE_NOT_FOUND, INSTANCE_NOT_DELETED
   */
  recover(names: InstanceNames, options?: EachOptions): Promise<void>;
  /**
   * Defines an instance again from its folder on this host, on an engine that has no record of it.
   *
   * @throws UNSUPPORTED if the engine keeps no copies of its records, INSTANCE_EXISTS, RECORDS_DIFFER
   */
  recoverFrom(folder: string, options?: CallOptions): Promise<{ readonly name: string }>;
  /**
   * Permanently removes every deleted instance.
   *
   * @returns their names
   */
  purge(options?: PurgeOptions): Promise<string[]>;
  /**
   * Copies the current state of a stopped instance, without its snapshots and excluded disks, as an independent
   * machine.
   *
   * @throws INSTANCE_NOT_FOUND, INSTANCE_EXISTS, WRONG_STATE, NO_SPACE, UNSUPPORTED
   */
  clone(name: string, options?: CloneOptions): Promise<{ readonly name: string }>;
  /**
   * Writes a stopped instance with its snapshots to a stream, which is left open. With `snapshot`, writes the instance
   * as it was then, without snapshots, and it may run. The instance is locked meanwhile. `warn` gets a sentence for
   * whatever does not go along.
   *
   * @throws INSTANCE_NOT_FOUND, SNAPSHOT_NOT_FOUND, WRONG_STATE, UNSUPPORTED for what cannot leave its host
   */
  export(name: string, to: NodeJS.WritableStream, options?: ExportOptions): Promise<void>;
  /**
   * Writes the contents of a disk to a new file, as a compressed qcow2 image that stands on nothing and that other
   * tools can open.
   *
   * @throws INSTANCE_NOT_FOUND, SNAPSHOT_NOT_FOUND, DISK_NOT_FOUND, WRONG_STATE, NO_SPACE, UNSUPPORTED
   */
  exportDisk(name: string, path: string, options?: ExportDiskOptions): Promise<void>;
  /**
   * Makes an instance of what `export` has written, stopped and with an identity of its own unless it is to be kept; all
   * or nothing. Nothing of it is trusted.
   *
   * @throws PARCEL_BROKEN, INSTANCE_EXISTS, IDENTITY_TAKEN, INVALID_VALUE for more than the host has, NO_SPACE, UNSUPPORTED
   */
  import(from: Readable, options?: ImportOptions): Promise<{ readonly name: string }>;
  /**
   * Gives a stopped instance with its snapshots to another host, where it is the machine that it was, and removes it
   * here. At no time may both hosts use it. If it is cut off, a repetition finishes it; until then neither may, and the
   * state is "Moving".
   *
   * @throws INSTANCE_NOT_FOUND, INSTANCE_DELETED, INSTANCE_MOVING for one that has not arrived here, WRONG_STATE,
   * UNSUPPORTED for one that would lose something, and what the receiver throws
   */
  handOver(name: string, receiver: Receiver, options?: CallOptions): Promise<void>;
  /**
   * The other end of `handOver`: takes an instance in, which stays unusable until it is admitted.
   *
   * @throws as `import` does
   */
  takeIn(from: Readable, options: TakeInOptions): Promise<void>;
  /** Makes an instance usable that has been taken in; resolves to false if it is not here. */
  admit(name: string, options: AdmitOptions): Promise<boolean>;
  /**
   * Waits until instances are in a state, whoever brings them there, and changes nothing.
   *
   * @throws INSTANCE_NOT_FOUND, INSTANCE_DELETED, TIMEOUT, GUEST_UNREACHABLE for a login that did not work in time,
   * NO_LOGIN
   */
  wait(names: InstanceNames, options: WaitOptions): Promise<void>;
  /**
   * What the guest has written on its serial console since its first boot, as far as it is kept, as bytes.
   *
   * @throws at the first step, INSTANCE_NOT_FOUND, UNSUPPORTED where it is not kept, PERMISSION_DENIED
   */
  logs(name: string, options?: LogsOptions): AsyncIterable<Uint8Array>;
  /**
   * Opens the serial console of a running instance. Dispose of it to leave it.
   *
   * @throws INSTANCE_NOT_FOUND, INSTANCE_DELETED, WRONG_STATE, CONSOLE_BUSY, UNSUPPORTED
   */
  console(name: string, options?: ConsoleOptions): Promise<ConsoleSession>;
  /**
   * Whether the host starts an instance when it boots.
   *
   * @throws INSTANCE_NOT_FOUND, INSTANCE_DELETED, UNSUPPORTED
   */
  autostart(name: string): Promise<boolean>;
  /**
   * Has the host start an instance when it boots, in session mode with the first connection to the user's libvirt;
   * or no longer. A deletion ends it.
   *
   * @throws INSTANCE_NOT_FOUND, INSTANCE_DELETED, UNSUPPORTED
   */
  setAutostart(name: string, on: boolean, options?: CallOptions): Promise<void>;
  /**
   * Takes the medium out of a CD or floppy drive, of a running instance too unless its guest has locked it.
   *
   * @returns the drive
   * @throws INSTANCE_NOT_FOUND, INVALID_VALUE for no such drive, WRONG_STATE while the guest uses it, UNSUPPORTED
   */
  eject(name: string, options?: EjectOptions): Promise<{ readonly drive: string }>;
  /**
   * Gives a stopped instance another name, with its disk, snapshots and all. Aliases and the setting of the primary
   * instance follow; inside, the guest keeps its host name.
   *
   * @throws INSTANCE_NOT_FOUND, INSTANCE_EXISTS, INVALID_NAME, WRONG_STATE or INSTANCE_SUSPENDED unless stopped,
   * UNSUPPORTED
   */
  rename(name: string, to: string, options?: CallOptions): Promise<void>;
  /**
   * Builds flattened copies for stopped instances, so that snapshots do not slow down reads.
   *
   * @throws INSTANCE_NOT_FOUND, WRONG_STATE, NO_SPACE, UNSUPPORTED
   */
  optimize(names: InstanceNames, options?: EachOptions): Promise<Optimized[]>;
  /**
   * Moves a stopped instance with its snapshots to another member of the cluster.
   *
   * @throws INSTANCE_NOT_FOUND, WRONG_STATE, UNSUPPORTED
   */
  move(name: string, member: string, options?: CallOptions): Promise<void>;
  /**
   * Instances of the engine that strata could adopt, by name, with the reason if one cannot be adopted.
   *
   * @throws UNSUPPORTED
   */
  candidates(): Promise<Candidate[]>;
  /**
   * Starts managing an instance of the engine that strata did not create; its disk stays where it is.
   *
   * @throws DOMAIN_NOT_FOUND, INSTANCE_EXISTS, INVALID_NAME, INVALID_VALUE, DISK_NOT_FOUND, UNSUPPORTED with the reason
   */
  adopt(name: string, options?: AdoptOptions): Promise<void>;
  /**
   * Stops managing a stopped adopted instance without snapshots, with all of its data on its own disk.
   *
   * @throws INSTANCE_NOT_FOUND, WRONG_STATE, HAS_SNAPSHOTS, UNSUPPORTED
   */
  release(name: string, options?: CallOptions): Promise<void>;
}

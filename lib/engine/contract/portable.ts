import type { Context, Lock } from "./call.ts";
import type { Instance, InstanceRecord, Seed } from "./instances.ts";

/** Instances that leave their host as files, and come to another. */
export interface Portable {
  /**
   * What makes up a stopped instance with its snapshots; of a snapshot, what makes up the instance as it was then,
   * without snapshots, also while it runs. The files stay as they are while the lock is held; nothing is copied.
   * UNSUPPORTED with the reason for what cannot leave.
   */
  pack(lock: Lock, of: PackedState, context: Context): Promise<Parcel>;
  /**
   * As `pack` for a whole instance, which may run and need not stay locked: until it is disposed of, the files stay as
   * they are, whatever is done with the instance. With `quiesce`, the file systems of one that runs are frozen for a
   * moment; AGENT_MISSING if they cannot be. Absent where that cannot be done.
   */
  hold?(lock: Lock, options: { readonly quiesce: boolean }, context: Context): Promise<HeldParcel>;
  /**
   * Writes the contents of one disk to `to`, an empty file, as a qcow2 image that stands on nothing: those of a stopped
   * instance, or of a snapshot also while it runs. Absent where disks are no files. Rejects with DISK_NOT_FOUND;
   * resolves to the disks that are not in it.
   */
  flatten?(
    lock: Lock,
    of: PackedState & { readonly disk?: string },
    to: string,
    context: Context,
  ): Promise<{ readonly disk: string; readonly others: readonly string[] }>;
  /**
   * Rejects what cannot be accepted here, as far as that is known without the files: PARCEL_BROKEN for what is not
   * well-formed, INSTANCE_EXISTS for a taken name, IDENTITY_TAKEN, UNSUPPORTED, INVALID_VALUE for more than the host has, NO_SPACE.
   * Changes nothing.
   */
  check(parcel: ParcelOutline, spec: AcceptSpec): Promise<void>;
  /**
   * Makes an instance of a parcel, stopped; all or nothing. The parcel is a stranger's: nothing of it is a path, a name
   * of this host or a definition, and no program opens a file of it before its header is judged. `arriving` has the
   * files in their order, and rejects at its end if one of them is not what was sent.
   */
  accept(
    parcel: ParcelOutline,
    arriving: AsyncIterable<ArrivingFile>,
    spec: AcceptSpec,
    context: Context,
  ): Promise<Instance>;
}

/** What of an instance leaves its host. */
export interface PackedState {
  /** Name of the snapshot; absent for the instance as it is. */
  readonly snapshot?: string;
}

/** What a parcel says of itself. */
export interface ParcelOutline {
  /** JSON of the engine's own, without paths of a host. */
  readonly contents: unknown;
  readonly files: readonly ParcelFile[];
}

/** What makes up an instance, for another host. */
export interface Parcel extends ParcelOutline {
  readonly files: readonly (ParcelFile & { readonly path: string })[];
  /** What stays here of the instance, for the user. */
  readonly left: readonly string[];
}

/** A parcel that stays as it is until it is disposed of, or every process that has its descriptor has ended. */
export interface HeldParcel extends Parcel, AsyncDisposable {
  /** For a child that reads the files. */
  readonly descriptor: number;
  /** What the present contents of the disks are. */
  readonly consistency: "stopped" | "crash" | "files";
}

/** A file of a parcel. */
export interface ParcelFile {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
}

export interface ArrivingFile extends ParcelFile {
  /** To be read to its end before the next file. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** What an accepted instance has of its own, as a clone does. */
export interface AcceptSpec {
  readonly name: string;
  readonly seed: Seed;
  readonly record: InstanceRecord;
  /** True for the machine that it was: its addresses stay, as far as the engine gives them. IDENTITY_TAKEN if it is here. */
  readonly same?: boolean;
}

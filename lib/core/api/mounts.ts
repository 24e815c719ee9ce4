import type { IdMap, Mount } from "../../backend/contract.ts";

export interface MountOptions {
  /** Default: native. */
  readonly type?: Mount["type"];
  /** One to one; by default the caller to the default user. */
  readonly uidMap?: readonly IdMap[];
  readonly gidMap?: readonly IdMap[];
}

/** A folder of an instance: absolute, or relative to the default user's home. */
export interface MountPlace {
  readonly instance: string;
  readonly target?: string;
}

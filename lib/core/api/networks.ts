import type { CallOptions } from "./session.ts";

/** A network that instances can be on. */
export interface NetworkInfo {
  /** Its name in `launch`. */
  readonly name: string;
  /** The engine's term, such as "nat" or "bridge". */
  readonly type: string;
  /** A description in one line. */
  readonly description: string;
}

/** Networks of the engine. */
export interface StrataNetworks {
  /**
   * Networks that instances can be on, by name.
   *
   * @throws UNSUPPORTED
   */
  list(): Promise<NetworkInfo[]>;
  /**
   * Adds an interface on the network of the setting `local.bridged-network` to a stopped instance, unless it
   * has one. It cannot be removed again.
   *
   * @throws INSTANCE_NOT_FOUND, WRONG_STATE, USAGE if the setting is empty, UNSUPPORTED
   */
  bridge(instance: string, options?: CallOptions): Promise<void>;
  /**
   * Whether an instance has an interface on the network of the setting `local.bridged-network`.
   *
   * @throws INSTANCE_NOT_FOUND
   */
  isBridged(instance: string): Promise<boolean>;
}

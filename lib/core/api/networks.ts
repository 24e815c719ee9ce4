import type { CallOptions } from "./session.ts";

/** A network that instances can be on. */
export interface NetworkInfo {
  /** As it is given to `launch`. */
  readonly name: string;
  /** As the engine calls it, such as "nat" or "bridge". */
  readonly type: string;
  /** A line for people. */
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
   * Adds an interface on the network of the setting `local.bridged-network` to a stopped instance; one that
   * has such an interface is left as it is. It cannot be taken away again.
   *
   * @throws INSTANCE_NOT_FOUND, WRONG_STATE, USAGE where the setting is empty, UNSUPPORTED
   */
  bridge(instance: string, options?: CallOptions): Promise<void>;
  /**
   * Whether an instance has an interface on the network of the setting `local.bridged-network`.
   *
   * @throws INSTANCE_NOT_FOUND
   */
  isBridged(instance: string): Promise<boolean>;
}

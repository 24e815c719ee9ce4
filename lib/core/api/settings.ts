/**
 * Settings by key, with strings as values, as in `strata get` and `strata set`. For instances and snapshots,
 * programs use `instances.resize`, `networks.bridge`, `snapshots.rename` and `snapshots.describe`.
 */
export interface StrataSettings {
  /** Keys that exist now, sorted. */
  keys(): Promise<string[]>;
  /**
   * The value of a key; sizes in bytes, "" if empty.
   *
   * @throws UNKNOWN_SETTING, INSTANCE_NOT_FOUND, SNAPSHOT_NOT_FOUND
   */
  get(key: string): Promise<string>;
  /**
   * Changes the value of a key.
   *
   * @throws UNKNOWN_SETTING, INVALID_VALUE, and the errors of the change of an instance or snapshot
   */
  set(key: string, value: string): Promise<void>;
}

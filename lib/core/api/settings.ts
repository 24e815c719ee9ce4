/**
 * Settings by their keys, with values as text, as `strata get` and `strata set` have them. Programs change
 * instances and snapshots by `instances.resize`, `snapshots.rename` and `snapshots.describe`.
 */
export interface StrataSettings {
  /** Keys that exist now, sorted. */
  keys(): Promise<string[]>;
  /**
   * The value of a key; sizes as bytes, "" for what is empty.
   *
   * @throws UNKNOWN_SETTING, INSTANCE_NOT_FOUND, SNAPSHOT_NOT_FOUND
   */
  get(key: string): Promise<string>;
  /**
   * Changes the value of a key.
   *
   * @throws UNKNOWN_SETTING, INVALID_VALUE, and whatever the change of an instance or snapshot rejects with
   */
  set(key: string, value: string): Promise<void>;
}

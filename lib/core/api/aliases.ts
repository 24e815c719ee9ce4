import type { Alias, Aliases } from "../../settings/aliases.ts";

export type { Alias, Aliases };

/** Names on this host for commands in instances. */
export interface StrataAliases {
  /** All aliases, by context, and the active context. */
  list(): Promise<Aliases>;
  /**
   * Adds an alias to the active context.
   *
   * @throws ALIAS_EXISTS, INSTANCE_NOT_FOUND, INVALID_VALUE
   */
  add(name: string, alias: Alias): Promise<void>;
  /**
   * Deletes aliases, all or none.
   *
   * @param names - `ALIAS` of the active context, or `CONTEXT.ALIAS`
   * @throws ALIAS_NOT_FOUND
   */
  delete(names: string | readonly string[]): Promise<void>;
  /**
   * Makes a context the active one; it need not have aliases yet.
   *
   * @throws INVALID_VALUE
   */
  prefer(context: string): Promise<void>;
}

import type { Engine } from "../contract.ts";
import type { Check, Log } from "./engine.ts";

/** The one export (default) of a plugin's module. Importing it has no side effect. */
export interface EnginePlugin {
  readonly apiVersion: string;
  readonly name: string;
  readonly description: string;
  /** Settings of this engine; the user sees each as `local.ENGINE.KEY`. */
  readonly settings: readonly EngineSetting[];
  /** Explains what is missing on this host. Never throws. */
  check(options: OpenOptions): Promise<Check[]>;
  open(options: OpenOptions): Promise<Engine>;
  /**
   * Present where the engine keeps images of its own that it was given: takes those away that have these
   * SHA-256 sums. Instances that were made from them stay as they are.
   */
  forgetImages?(options: OpenOptions, sums: readonly string[]): Promise<void>;
}

export interface EngineSetting {
  readonly key: string;
  readonly default: string;
  readonly description: string;
  /** Says why a value is refused; undefined when it is right. */
  validate(value: string): string | undefined;
}

export interface OpenOptions {
  /** The engine's settings, defaults filled in. */
  readonly settings: Readonly<Record<string, string>>;
  /** Where an engine without a place of its own may keep data of this user. */
  readonly dataFolder: string;
  readonly log: Log;
}

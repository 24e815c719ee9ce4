import type { Check, EngineInfo } from "../../engine/contract.ts";
import type { CallOptions } from "./session.ts";

/** Options of {@link StrataEngine.waitReady}. */
export interface WaitReadyOptions extends CallOptions {
  /**
   * How long to wait, in milliseconds.
   *
   * @default for ever
   */
  readonly timeout?: number;
}

/** The engine in use. */
export interface StrataEngine {
  /**
   * What it is and what it can do on this host.
   *
   * @throws ENGINE_UNAVAILABLE, PERMISSION_DENIED
   */
  info(): Promise<EngineInfo>;
  /**
   * Waits until it answers.
   *
   * @throws TIMEOUT; at once where waiting would not help, such as PERMISSION_DENIED
   */
  waitReady(options?: WaitReadyOptions): Promise<EngineInfo>;
}

/** An engine as `strata plugins` shows it. What is not known of it is empty. */
export interface PluginInfo {
  /** As in the setting `local.driver`. */
  readonly name: string;
  /** "built-in", the name and version of its package, or what the configuration names. */
  readonly origin: string;
  /** Available: it ships with strata, and the configuration does not name it. */
  readonly state: "loaded" | "unavailable" | "refused" | "available";
  /** Why it is refused or unavailable. */
  readonly reason: string;
  /** The version of its package. */
  readonly version: string;
  /** Version of the contract that it was made for. */
  readonly api: string;
  /** The engine behind it with its version. */
  readonly engine: string;
  /** What its instances are. */
  readonly kind: EngineInfo["kind"] | "";
  /** What it can do on this host, sorted. */
  readonly features: readonly string[];
  /** Why features are missing, by feature. */
  readonly missing: Readonly<Record<string, string>>;
  /** What it needs of this host, and whether that is there. */
  readonly checks: readonly Check[];
}

/** Packages that bring an engine. */
export interface StrataPlugins {
  /** Every engine that there is, loaded or refused; never rejects. */
  list(): Promise<PluginInfo[]>;
}

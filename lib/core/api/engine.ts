import type { Check, EngineInfo } from "../../engine/contract.ts";
import type { CallOptions } from "./session.ts";

/** Options of {@link StrataEngine.waitReady}. */
export interface WaitReadyOptions extends CallOptions {
  /**
   * How long to wait, in milliseconds.
   *
   * @default no limit
   */
  readonly timeout?: number;
}

/** The engine in use. */
export interface StrataEngine {
  /**
   * Its name, version and features on this host.
   *
   * @throws ENGINE_UNAVAILABLE, PERMISSION_DENIED
   */
  info(): Promise<EngineInfo>;
  /**
   * What runs the instances, with its version, such as "libvirt 9.0.0, QEMU 7.2.22"; sooner than with all of `info`.
   *
   * @throws ENGINE_UNAVAILABLE, PERMISSION_DENIED
   */
  version(): Promise<string>;
  /**
   * Waits until it answers.
   *
   * @throws TIMEOUT; at once if waiting would not help, such as PERMISSION_DENIED
   */
  waitReady(options?: WaitReadyOptions): Promise<EngineInfo>;
}

/** An engine as `strata plugins` shows it. Unknown members are empty. */
export interface PluginInfo {
  /** As in the setting `local.driver`. */
  readonly name: string;
  /** "built-in", the name and version of its package, or what the configuration names. */
  readonly origin: string;
  /** `available` for an engine that ships with strata and is not in the configuration. */
  readonly state: "loaded" | "unavailable" | "refused" | "available";
  /** Why it is refused or unavailable. */
  readonly reason: string;
  /** The version of its package. */
  readonly version: string;
  /** Version of the contract that it was written for. */
  readonly api: string;
  /** The engine's program and version. */
  readonly engine: string;
  /** The kind of its instances. */
  readonly kind: EngineInfo["kind"] | "";
  /** What it can do on this host, sorted. */
  readonly features: readonly string[];
  /** Why features are missing, by feature. */
  readonly missing: Readonly<Record<string, string>>;
  /** Its requirements on this host, and whether they are met. */
  readonly checks: readonly Check[];
}

/** Packages that provide an engine. */
export interface StrataPlugins {
  /** All engines, loaded or refused; never rejects. */
  list(): Promise<PluginInfo[]>;
}

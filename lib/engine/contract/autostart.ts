import type { Lock } from "./call.ts";

/** Instances that the host starts by itself when it boots, without strata. */
export interface Autostart {
  /** Takes no lock. */
  get(id: string): Promise<boolean>;
  /** In any state of the instance, which stays in it. */
  set(lock: Lock, on: boolean): Promise<void>;
}

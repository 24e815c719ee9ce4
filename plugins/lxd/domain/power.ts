import type { LxdEngine } from "../engine.ts";
import { whenIdle } from "./changes.ts";
import { instancePath } from "./managed.ts";

export interface PowerChange {
  readonly action: "start" | "stop" | "freeze" | "unfreeze";
  readonly timeout?: number;
  readonly force?: boolean;
}

/** Has LXD change an instance's state. */
export async function changePower(engine: LxdEngine, name: string, body: PowerChange): Promise<void> {
  await whenIdle(() => engine.client.run("PUT", instancePath(name, "state"), { timeout: -1, ...body }));
}

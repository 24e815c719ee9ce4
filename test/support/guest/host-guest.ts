import { spawn } from "node:child_process";
import type { Engine, EngineAccess, ExecSession } from "../../../lib/engine/contract.ts";
import { errnoOf, failure } from "../../../lib/errors.ts";
import { memoryEngine } from "../../../plugins/memory/index.ts";

/** Ends a group of processes, which may have ended already: its output is still being read then. */
function signalGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGTERM");
  } catch (error) {
    if (errnoOf(error) !== "ESRCH") {
      throw error;
    }
  }
}

/** The memory engine, with guests whose commands are processes of this host at home in `home(name)`. */
export function hostGuests(
  home: (name: string) => string,
  env: Readonly<Record<string, string>> = {},
): Engine {
  const memory = memoryEngine();
  const guest: EngineAccess = {
    via: "engine",
    ready: async () => {},
    async exec(id, argv, { cwd, signal }) {
      const { name } = await memory.world.get(id);
      const [file = "", ...args] = argv;
      const child = spawn(file, args, {
        cwd: cwd ?? "/",
        env: { PATH: process.env.PATH, ...env, HOME: home(name) },
        detached: true,
      });
      const kill = () => child.pid !== undefined && signalGroup(child.pid);
      signal?.addEventListener("abort", kill, { once: true });
      const exit = new Promise<{ code: number | null; signal?: string }>((resolve, reject) => {
        child.once("error", reject);
        child.once("close", (code, by) => {
          signal?.removeEventListener("abort", kill);
          if (signal?.aborted) {
            reject(failure("CANCELLED", {}, signal.reason));
          } else {
            resolve({ code, ...(by === null ? {} : { signal: by }) });
          }
        });
      });
      exit.catch(() => {});
      const { stdin, stdout, stderr } = child;
      stdin.on("error", () => {});
      return { stdin, stdout, stderr, resize: () => {}, exit } satisfies ExecSession;
    },
  };
  return { ...memory, guest };
}

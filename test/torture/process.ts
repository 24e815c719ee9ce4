import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { Plan, Report, Task } from "./actor.ts";
import type { Boundary } from "./boundaries.ts";
import type { Verb } from "./verb.ts";

const ACTOR = fileURLToPath(new URL("actor.ts", import.meta.url));
/** In one file of JavaScript, it is ready in a third of the time, and there are a thousand of it. */
const BUILT = fileURLToPath(new URL("../../dist/test/", import.meta.url));
/** No operation here takes anything like it: beyond this, something hangs. */
const HANGS = 120_000;

/** How a run ended: by itself, or killed at some point. */
export type End = Extract<Report, { kind: "ended" }> | { readonly kind: "killed" };

/** Processes that can be killed. One is always being made ready while another is at work. */
export interface Actors extends AsyncDisposable {
  /** Has a process do it. `during` runs when the plan is to ask, and the operation waits for it. */
  run(verb: Verb, plan: Plan, during?: (boundary: Boundary) => Promise<void>): Promise<End>;
  /** Has a process do it and kills it from outside, `delay` ms after it has begun. */
  killAfter(verb: Verb, delay: number, group: boolean): Promise<End>;
}

/** Bundles a program of these tests, for others than its owner to run too; resolves to its path. */
export async function bundle(source: string): Promise<string> {
  const program = `${BUILT}${basename(source, ".ts")}-${randomUUID()}.mjs`;
  const how = { bundle: true, platform: "node", format: "esm", target: "node20.19" } as const;
  await build({ ...how, packages: "external", entryPoints: [source], outfile: program, logLevel: "warning" });
  return program;
}

export async function openActors(settings: Readonly<Record<string, string>>): Promise<Actors> {
  const program = await bundle(ACTOR);
  let spare: Promise<ChildProcess> | undefined;
  const take = async () => {
    const taken = await (spare ?? make(program, settings));
    spare = undefined;
    return taken;
  };
  /** Back it goes if it lives; else the next one is made ready in the meantime. */
  const put = (actor: ChildProcess) => {
    const dead = actor.exitCode !== null || actor.signalCode !== null;
    spare = dead ? make(program, settings) : Promise.resolve(actor);
    spare.catch(() => {});
  };
  return {
    async run(verb, plan, during) {
      const actor = await take();
      const end = await work(actor, { verb, plan }, during);
      put(actor);
      return end;
    },
    async killAfter(verb, delay, group) {
      const actor = await take();
      const timer = setTimeout(() => kill(actor, group), delay);
      const end = await work(actor, { verb, plan: { kind: "look" } });
      clearTimeout(timer);
      put(actor);
      return end;
    },
    async [Symbol.asyncDispose]() {
      const actor = await spare?.catch(() => undefined);
      await rm(program, { force: true });
      if (actor === undefined || actor.exitCode !== null || actor.signalCode !== null) {
        return;
      }
      const gone = once(actor, "exit");
      kill(actor, true);
      await gone;
    },
  };
}

function kill({ pid }: ChildProcess, group: boolean): void {
  if (pid === undefined) {
    return;
  }
  try {
    process.kill(group ? -pid : pid, "SIGKILL");
  } catch {
    // It has ended first.
  }
}

async function make(program: string, settings: Readonly<Record<string, string>>): Promise<ChildProcess> {
  const actor = spawn(process.execPath, [program, JSON.stringify(settings)], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
    // A group of its own, so that it can be killed with its programs or without them.
    detached: true,
  });
  const [first] = await Promise.race([once(actor, "message"), once(actor, "exit")]);
  if ((first as Report | null)?.kind !== "ready") {
    throw new Error("an actor could not be made ready");
  }
  return actor;
}

async function work(
  actor: ChildProcess,
  task: Task,
  during: (boundary: Boundary) => Promise<void> = async () => {},
): Promise<End> {
  const { verb, plan } = task;
  let hang: NodeJS.Timeout | undefined;
  try {
    return await new Promise<End>((resolve, reject) => {
      hang = setTimeout(() => {
        // It has a lock that others would wait for.
        kill(actor, true);
        reject(new Error(`hangs: ${JSON.stringify(verb)} with ${JSON.stringify(plan)}`));
      }, HANGS);
      actor.on("message", (report: Report) => {
        if (report.kind === "ended") {
          resolve(report);
        }
        if (report.kind === "asking") {
          during(report.boundary).then(() => actor.send("go on"), reject);
        }
      });
      actor.once("exit", () => resolve({ kind: "killed" }));
      actor.send(task, (error) => {
        if (error === null) {
          return;
        }
        // Killed before it heard of the task.
        if ("code" in error && error.code === "ERR_IPC_CHANNEL_CLOSED") {
          resolve({ kind: "killed" });
        } else {
          reject(error);
        }
      });
    });
  } finally {
    clearTimeout(hang);
    actor.removeAllListeners("message");
    actor.removeAllListeners("exit");
  }
}

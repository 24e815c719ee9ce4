import { asStrataError } from "../../lib/errors.ts";
import libvirt from "../../plugins/libvirt/index.ts";
import { silent } from "../support/libvirt/fixture.ts";
import { type Boundary, install, type Verdict, watch } from "./boundaries.ts";
import { perform, type Verb } from "./verb.ts";

/** What is to happen to a run. Boundaries are counted from 1. */
export type Plan =
  /** Nothing: the boundaries are told. */
  | { readonly kind: "look" }
  /** The process kills itself at a boundary; `group`: with the programs that it has started. */
  | { readonly kind: "kill"; readonly at: number; readonly group: boolean }
  /** The touch at a boundary fails, or all from there on. */
  | { readonly kind: "fail"; readonly at: number; readonly with: Verdict; readonly on?: boolean }
  /**
   * The parent does something at a boundary, known by its number or the first of that description, and says
   * when to go on. With `die` the process kills itself at the next one.
   */
  | {
      readonly kind: "ask";
      readonly at: number | `${Boundary["when"]} ${string}`;
      readonly die?: boolean;
    };

export interface Task {
  readonly verb: Verb;
  readonly plan: Plan;
}

export type Report =
  | { readonly kind: "ready" }
  | { readonly kind: "asking"; readonly boundary: Boundary }
  | {
      readonly kind: "ended";
      readonly boundaries: readonly Boundary[];
      /** How many ms it took. */
      readonly took: number;
      readonly error?: { readonly code: string; readonly message: string };
    };

/**
 * A process to be killed: it does what the parent sends it, one after another, on the daemon that its
 * argument names.
 */
const [settings = "{}"] = process.argv.slice(2);
const tell = (report: Report) => process.send?.(report);

install();
const engine = await libvirt.open({
  settings: JSON.parse(settings),
  dataFolder: "/nonexistent",
  log: silent,
});
// Probed and loaded beforehand, so that what is killed is the operation.
await engine.instances.list();
await import("execa");
let goOn: () => void = () => {};
/** Number of the boundary at which the parent was asked in this run; 0 for none yet. */
let asked = 0;

process.on("message", (task: Task | "go on") => {
  if (task === "go on") {
    goOn();
  } else {
    void run(task);
  }
});
process.on("disconnect", () => process.exit());
tell({ kind: "ready" });

async function run({ verb, plan }: Task): Promise<void> {
  const boundaries: Boundary[] = [];
  const begin = performance.now();
  asked = 0;
  watch((boundary) => {
    boundaries.push(boundary);
    return follow(plan, boundary);
  });
  const error = await perform(engine, verb).then(
    () => undefined,
    (reason: unknown) => asStrataError(reason),
  );
  watch(undefined);
  const took = performance.now() - begin;
  const failed = error === undefined ? {} : { error: { code: error.code, message: error.message } };
  tell({ kind: "ended", boundaries, took, ...failed });
}

function follow(plan: Plan, boundary: Boundary): Verdict | Promise<Verdict> {
  switch (plan.kind) {
    case "kill":
      if (boundary.at === plan.at) {
        process.kill(plan.group ? -process.pid : process.pid, "SIGKILL");
      }
      return "go on";
    case "fail":
      return boundary.at === plan.at || (plan.on === true && boundary.at > plan.at) ? plan.with : "go on";
    case "ask":
      return ask(plan, boundary);
    default:
      return "go on";
  }
}

/** Asks the parent at the plan's boundary, and dies at the one after where it says so. */
function ask(plan: Extract<Plan, { kind: "ask" }>, boundary: Boundary): Verdict | Promise<Verdict> {
  if (plan.die === true && asked > 0 && boundary.at === asked + 1) {
    process.kill(process.pid, "SIGKILL");
  }
  if (asked > 0 || ![boundary.at, `${boundary.when} ${boundary.what}`].includes(plan.at)) {
    return "go on";
  }
  asked = boundary.at;
  return new Promise((resolve) => {
    goOn = () => resolve("go on");
    tell({ kind: "asking", boundary });
  });
}

import { parseArgs } from "node:util";
import { runHands, runStarts } from "./hands/run.ts";
import {
  anyKill,
  disturb,
  everyDaemonDeath,
  everyFault,
  everyFullDisk,
  everyKill,
  numbers,
  openTorture,
  type Torture,
  type Trial,
} from "./trials.ts";

/**
 * The full run: kills at every boundary and then anywhere, faults, deaths of the daemon, full disks, then
 * what others do with virsh and on files, on as many worlds at once as there are workers. `--only N` runs
 * trial N of a seed alone; `--what` names the parts that are wanted; `--disks N` is how many disks the instance
 * has that dies. With `--adopted`, that is a domain of three own disks, which every other worker is about to release.
 */
const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "1000" },
    hands: { type: "string", default: "300" },
    starts: { type: "string", default: "1000" },
    seed: { type: "string", default: "1" },
    workers: { type: "string", default: "2" },
    only: { type: "string" },
    disks: { type: "string", default: "1" },
    adopted: { type: "boolean", default: false },
    what: { type: "string", default: "kills,faults,daemon,full,hands,starts" },
  },
});
const MIB = 1024 ** 2;
const seed = Number(values.seed);
const wanted = values.what.split(",");
const totals = { kills: 0, faults: 0, "daemon deaths": 0, "full disks": 0, ended: 0, lost: 0 };
type Count = "kills" | "faults" | "daemon deaths" | "full disks";

/** Half of the worlds have chains that keyframes cut short, on a file system where files share blocks. */
const open = (worker: number, small = false) => {
  const short = worker % 2 === 1;
  return openTorture({
    ...(small ? { fileSystem: { kind: "ext4", size: 64 * MIB } } : {}),
    ...(short && !small ? { fileSystem: { kind: "xfs", size: 512 * MIB } } : {}),
    settings: short ? { "chain-length": "4" } : {},
    ...(values.adopted ? { adopted: short ? "bare" : "with snapshots" } : { disks: Number(values.disks) }),
  });
};

async function attempt(torture: Torture, trial: Trial, as: Count, label: string): Promise<void> {
  try {
    if (await disturb(torture, trial)) {
      totals[as] += 1;
    } else {
      totals.ended += 1;
    }
  } catch (error) {
    totals.lost += 1;
    const { scenario, disturbance } = trial;
    const at = "at" in disturbance ? scenario.boundaries[disturbance.at - 1] : undefined;
    console.log(`LOST ${label}: ${scenario.name}, ${JSON.stringify({ ...disturbance, ...at })}`);
    console.log(error instanceof Error ? error.stack : error);
    await torture.world.reset();
  }
}

async function work(worker: number, workers: number): Promise<void> {
  if (wanted.some((what) => ["kills", "faults", "daemon"].includes(what))) {
    await using torture = await open(worker);
    if (wanted.includes("kills")) {
      await killing(torture, worker, workers);
    }
    const faults = wanted.includes("faults") ? everyFault(torture) : [];
    for (const [at, trial] of share(faults, worker, workers)) {
      await attempt(torture, trial, "faults", `fault ${at}`);
    }
    const deaths = wanted.includes("daemon") ? everyDaemonDeath(torture) : [];
    for (const [at, trial] of share(deaths, worker, workers)) {
      await attempt(torture, trial, "daemon deaths", `daemon ${at}`);
    }
  }
  if (wanted.includes("full")) {
    await using small = await open(worker, true);
    for (const [at, trial] of share(everyFullDisk(small), worker, workers)) {
      await attempt(small, trial, "full disks", `full disk ${at}`);
    }
  }
}

/** Every boundary, then anywhere, until there are enough. The worker is known from the trial's number. */
async function killing(torture: Torture, worker: number, workers: number): Promise<void> {
  const every = everyKill(torture);
  const trialOf = (at: number) => every[at] ?? anyKill(torture, numbers(seed * 1_000_003 + at));
  if (values.only !== undefined) {
    const at = Number(values.only);
    if (at % workers !== worker) {
      return;
    }
    return attempt(torture, trialOf(Math.floor(at / workers)), "kills", `seed ${seed}, trial ${at}`);
  }
  for (let at = 0; totals.kills < Number(values.kills); at += 1) {
    await attempt(torture, trialOf(at), "kills", `seed ${seed}, trial ${at * workers + worker}`);
    if (totals.kills % 50 === 0) {
      console.log(JSON.stringify(totals));
    }
  }
}

function share<T>(list: readonly T[], worker: number, workers: number): [number, T][] {
  return [...list.entries()].filter(([at]) => at % workers === worker);
}

/** What others do, and guests that they start: as many interferences as are wanted. */
async function others(what: "hands" | "starts", interferences: number): Promise<boolean> {
  const begin = Date.now();
  const found = await (what === "hands" ? runHands : runStarts)({
    interferences,
    seed,
    workers: Number(values.workers),
    ...(values.only === undefined ? {} : { only: Number(values.only) }),
    tell: (text) => console.log(text),
  });
  const { lost, stuck, unnamed, unclear, refusals } = found;
  const words = [...refusals].sort(([a], [b]) => (a < b ? -1 : 1)).map(([what, times]) => `${what} ${times}`);
  console.log(`refused: ${words.join(", ") || "nothing"}`);
  console.log(
    `${what}: ${found.interferences} interferences, ${lost} lost, ${stuck} stuck, ${unnamed} unnamed, ` +
      `${unclear} unclear; ${found.stories} stories, ${Math.round((Date.now() - begin) / 1000)} s`,
  );
  return found.interferences > 0 && lost + stuck + unnamed + unclear === 0;
}

/** Everything that dies or fails by itself. */
async function deaths(): Promise<boolean> {
  const workers = Number(values.workers);
  const begin = Date.now();
  await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker, workers)));
  const { kills, faults, lost } = totals;
  console.log(
    `${kills} kills, ${faults} faults, ${totals["daemon deaths"]} deaths of the daemon, ` +
      `${totals["full disks"]} full disks, ${lost} lost, ${Math.round((Date.now() - begin) / 1000)} s`,
  );
  return lost === 0 && kills + faults + totals["daemon deaths"] + totals["full disks"] > 0;
}

console.log(`seed ${seed}, ${values.workers} workers`);
const DEATHS = ["kills", "faults", "daemon", "full"];
let right = true;
if (wanted.some((what) => DEATHS.includes(what))) {
  right = await deaths();
}
// A number is a trial of one part.
const whole = values.only === undefined || wanted.length === 1;
if (wanted.includes("hands") && whole) {
  right = (await others("hands", Number(values.hands))) && right;
}
if (wanted.includes("starts") && whole) {
  right = (await others("starts", Number(values.starts))) && right;
}
process.exitCode = right ? 0 : 1;

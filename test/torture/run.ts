import { parseArgs } from "node:util";
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
 * The full run: kills at every boundary and then anywhere, faults, deaths of the daemon, full disks, on as
 * many worlds at once as there are workers. `--only N` runs trial N of a seed alone.
 */
const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "1000" },
    seed: { type: "string", default: "1" },
    workers: { type: "string", default: "2" },
    only: { type: "string" },
    what: { type: "string", default: "kills,faults,daemon,full" },
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
  });
};

async function attempt(torture: Torture, trial: Trial, as: Count, label: string): Promise<void> {
  try {
    if (await disturb(torture, trial)) totals[as] += 1;
    else totals.ended += 1;
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
  if (wanted.some((what) => what !== "full")) {
    await using torture = await open(worker);
    if (wanted.includes("kills")) await killing(torture, worker, workers);
    const faults = wanted.includes("faults") ? everyFault(torture) : [];
    for (const [at, trial] of share(faults, worker, workers))
      await attempt(torture, trial, "faults", `fault ${at}`);
    const deaths = wanted.includes("daemon") ? everyDaemonDeath(torture) : [];
    for (const [at, trial] of share(deaths, worker, workers))
      await attempt(torture, trial, "daemon deaths", `daemon ${at}`);
  }
  if (wanted.includes("full")) {
    await using small = await open(worker, true);
    for (const [at, trial] of share(everyFullDisk(small), worker, workers))
      await attempt(small, trial, "full disks", `full disk ${at}`);
  }
}

/** Every boundary, then anywhere, until there are enough. The worker is known from the trial's number. */
async function killing(torture: Torture, worker: number, workers: number): Promise<void> {
  const every = everyKill(torture);
  const trialOf = (at: number) => every[at] ?? anyKill(torture, numbers(seed * 1_000_003 + at));
  if (values.only !== undefined) {
    const at = Number(values.only);
    if (at % workers !== worker) return;
    return attempt(torture, trialOf(Math.floor(at / workers)), "kills", `seed ${seed}, trial ${at}`);
  }
  for (let at = 0; totals.kills < Number(values.kills); at += 1) {
    await attempt(torture, trialOf(at), "kills", `seed ${seed}, trial ${at * workers + worker}`);
    if (totals.kills % 50 === 0) console.log(JSON.stringify(totals));
  }
}

function share<T>(list: readonly T[], worker: number, workers: number): [number, T][] {
  return [...list.entries()].filter(([at]) => at % workers === worker);
}

const workers = Number(values.workers);
const begin = Date.now();
console.log(`seed ${seed}, ${workers} workers`);
await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker, workers)));
const { kills, faults, lost } = totals;
console.log(
  `${kills} kills, ${faults} faults, ${totals["daemon deaths"]} deaths of the daemon, ` +
    `${totals["full disks"]} full disks, ${lost} lost, ${Math.round((Date.now() - begin) / 1000)} s`,
);
process.exitCode = lost > 0 || kills + faults + totals["daemon deaths"] + totals["full disks"] === 0 ? 1 : 0;

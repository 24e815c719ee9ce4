/**
 * What strata costs beside what a user would otherwise type, measured side by side in one run.
 * Prints a table of each subject; with `--json FILE` writes all figures there. It never judges.
 *
 *     run.ts [--short] [--rounds N] [--json FILE] [SUBJECT…]
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { clearLeftovers } from "../support/leftovers.ts";
import { describeMachine } from "./machine.ts";
import { type Bench, type Figure, table } from "./measure.ts";

const subjects: Readonly<Record<string, () => Promise<Bench>>> = {
  remote: async () => (await import("./remote.ts")).remote,
  "start-up": async () => (await import("./start-up.ts")).startUp,
  verbs: async () => (await import("./verbs.ts")).verbs,
  depth: async () => (await import("./depth.ts")).depth,
  thousand: async () => (await import("./thousand.ts")).thousand,
  scale: async () => (await import("./scale.ts")).scale,
  launch: async () => (await import("./launch.ts")).launch,
  transfer: async () => (await import("./transfer.ts")).transfer,
  reads: async () => (await import("./reads.ts")).reads,
  reflink: async () => (await import("./reflink.ts")).reflink,
};

const { values, positionals } = parseArgs({
  options: {
    short: { type: "boolean", default: false },
    rounds: { type: "string" },
    json: { type: "string" },
  },
  allowPositionals: true,
});
const chosen = positionals.length === 0 ? Object.keys(subjects) : positionals;
const { short } = values;
const scope = { short, rounds: Number(values.rounds ?? (short ? 3 : 15)) };

// Node reads and checks all of these certificates before it does anything: 37 ms of 60 with Debian's. Few
// users have it set, and beside a script it would be counted as ours.
delete process.env.NODE_EXTRA_CA_CERTS;
await clearLeftovers();
const machine = await describeMachine();
console.log(
  Object.entries(machine)
    .map(([what, value]) => `${what}: ${value}`)
    .join("\n"),
);
console.log(`least of ${scope.rounds} rounds${short ? ", short run" : ""}`);
const figures: Figure[] = [];
for (const name of chosen) {
  const load = subjects[name];
  if (load === undefined) {
    throw new Error(`no subject ${name}; there are ${Object.keys(subjects).join(", ")}`);
  }
  const found = await (await load())(scope);
  figures.push(...found);
  console.log(`\n${name}\n${table(found)}`);
}
if (values.json !== undefined) {
  const rows = figures.map((figure) => ({ unit: "ms", ...figure, ratio: figure.ours / figure.theirs }));
  await writeFile(values.json, `${JSON.stringify({ machine, ...scope, figures: rows }, null, 2)}\n`);
}

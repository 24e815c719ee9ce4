/**
 * Draws what `run.ts --json FILE` wrote: reads and verbs over the number of snapshots, each beside its peer.
 *
 *     plot.ts FILE [FOLDER]
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as echarts from "echarts";
import { z } from "zod";

const [file = "bench.json", folder = "docs/pictures"] = process.argv.slice(2);

const figures = z
  .object({
    figures: z.array(
      z.object({ subject: z.string(), what: z.string(), ours: z.number(), theirs: z.number() }),
    ),
  })
  .parse(JSON.parse(await readFile(file, "utf8"))).figures;

/** A line of a plot: its value at each number of snapshots. */
type Line = Map<number, number>;

/** Lines by their name, from figures such as "take, plain layers: 150 below". */
function linesOf(
  subject: string,
  pattern: RegExp,
): Map<string, { readonly ours: Line; readonly peer: Line }> {
  const lines = new Map<string, { ours: Line; peer: Line }>();
  for (const { what, ours, theirs } of figures.filter((each) => each.subject === subject)) {
    const { name, depth } = pattern.exec(what)?.groups ?? {};
    if (name === undefined) {
      continue;
    }
    const line = lines.get(name) ?? { ours: new Map(), peer: new Map() };
    line.ours.set(Number(depth), ours);
    line.peer.set(Number(depth), theirs);
    lines.set(name, line);
  }
  return lines;
}

function plot(
  title: string,
  unit: string,
  lines: ReadonlyMap<string, Line>,
  peers: readonly string[],
): string {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: 760, height: 420 });
  chart.setOption({
    animation: false,
    backgroundColor: "#ffffff",
    title: { text: title, left: "center", top: 8, textStyle: { fontSize: 15 } },
    legend: { bottom: 4 },
    grid: { left: 70, right: 30, top: 50, bottom: 90 },
    xAxis: { type: "log", name: "snapshots below", nameLocation: "middle", nameGap: 28, min: 1 },
    yAxis: { type: "log", name: unit },
    series: [...lines].map(([name, line]) => ({
      name,
      type: "line",
      symbolSize: 6,
      lineStyle: peers.includes(name) ? { type: "dashed" } : {},
      data: [...line].sort(([a], [b]) => a - b),
    })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return `${svg}\n`;
}

const reads = linesOf("reads", /^(?<name>random, warm: .+), (?<depth>\d+) below$/);
if (reads.size > 0) {
  const lines = new Map<string, Line>();
  for (const [name, { ours, peer }] of reads) {
    lines.set(name.replace("random, warm: ", ""), ours);
    lines.set("one snapshot, same run", peer);
  }
  const svg = plot("60,000 random reads of 4 KiB", "ms", lines, ["plain layers", "one snapshot, same run"]);
  await writeFile(join(folder, "reads.svg"), svg);
}

const depth = linesOf("depth", /^(?<name>take|restore|delete), .+: (?<depth>\d+) below$/);
if (depth.size > 0) {
  const lines = new Map<string, Line>();
  const peers: string[] = [];
  for (const [verb, { ours, peer }] of depth) {
    lines.set(verb, ours);
    lines.set(`${verb}, one snapshot below`, peer);
    peers.push(`${verb}, one snapshot below`);
  }
  await writeFile(join(folder, "depth.svg"), plot("Take, restore and delete over depth", "ms", lines, peers));
}

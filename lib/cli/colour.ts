import pc from "picocolors";
import type { InstanceState } from "../core/api/strata.ts";
import type { Io } from "./io.ts";

/** Functions that colour a text, or leave it as it is where there are no colours. */
export type Palette = ReturnType<typeof pc.createColors>;

export const PLAIN: Palette = pc.createColors(false);

/** Where the command writes, and whether the user wants colours at all. */
export interface Painter {
  readonly io: Pick<Io, "stdout" | "stderr" | "env">;
  readonly global: { readonly colour: boolean };
}

/**
 * The colours for what is written to a stream: none without a terminal, with --no-color, and where the
 * environment has NO_COLOR (https://no-color.org) or a terminal without colours.
 */
export function paletteOf({ io, global }: Painter, stream: "stdout" | "stderr"): Palette {
  const { NO_COLOR, TERM } = io.env;
  return pc.createColors(global.colour && io[stream].isTTY === true && !NO_COLOR && TERM !== "dumb");
}

/** The beginning of an error's line. */
export function errorPrefix(painter: Painter): string {
  return paletteOf(painter, "stderr").red("strata:");
}

/** The beginning of a warning's line. */
export function warningPrefix(painter: Painter): string {
  return paletteOf(painter, "stderr").yellow("strata: warning:");
}

const STATES: Readonly<
  Record<InstanceState, keyof Pick<Palette, "green" | "yellow" | "blue" | "dim" | "red">>
> = {
  Running: "green",
  Starting: "yellow",
  Restarting: "yellow",
  "Delayed Shutdown": "yellow",
  Suspending: "yellow",
  Suspended: "blue",
  Stopped: "dim",
  Deleted: "red",
  Moving: "yellow",
  Unknown: "red",
};

export function isState(value: unknown): value is InstanceState {
  return typeof value === "string" && value in STATES;
}

export function paintState(state: InstanceState, palette: Palette): string {
  return palette[STATES[state]](state);
}

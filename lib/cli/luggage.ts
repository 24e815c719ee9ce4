import { failure } from "../errors.ts";
import { parseImageName } from "../images/image-name.ts";
import type { Connection } from "../remote/run.ts";
import { type Cargo, cargoOf, cargoOfText, type Luggage, takeAlong } from "../remote/travel.ts";
import type { Cli } from "./cli.ts";
import type { FarCommand } from "./far-command.ts";
import { createProgram } from "./program.ts";
import { readUserData } from "./user-data.ts";
import { isArgument, type Part, partsOf, withValues } from "./words.ts";

/** Commands that name files or variables of the host where they are typed. */
const WITH_LUGGAGE: readonly string[] = ["exec", "image", "launch"];

/** A command line for another host whose files are there. */
export interface Packed extends AsyncDisposable {
  readonly words: readonly string[];
}

/** Takes along what a command line names of this host: images, user-data, the values of variables. */
export async function pack(cli: Cli, connection: Connection, far: FarCommand): Promise<Packed> {
  if (!WITH_LUGGAGE.includes(far.command)) {
    return packed(far.words);
  }
  const { command, parts } = partsOf(createProgram(cli, far.words), far.words);
  const values = new Map<Part, string>();
  const cargo: [Part, Cargo, suffix: string][] = [];
  for (const part of parts) {
    const long = part.option?.long;
    if (command.name() === "exec" && long === "--env") {
      values.set(part, variable(part.value, cli.io.env));
    } else if (command.name() === "launch" && long === "--cloud-init") {
      cargo.push(...(await userData(cli, part)));
    } else if (["launch", "import"].includes(command.name()) && part === parts.find(isArgument)) {
      cargo.push(...(await image(part)));
    }
  }
  if (cargo.length === 0) {
    return packed(withValues(far.words, values));
  }
  const luggage = await takeAlong(
    connection,
    cargo.map(([, each]) => each),
    {
      signal: cli.call.signal,
      progress: (done, total) => cli.call.progress({ phase: "Sending", done, total }),
    },
  );
  cli.progress.clear();
  for (const [at, [part, , suffix]] of cargo.entries()) {
    values.set(part, `${luggage.paths[at]}${suffix}`);
  }
  return packed(withValues(far.words, values), luggage);
}

function packed(words: readonly string[], luggage?: Luggage): Packed {
  return { words, [Symbol.asyncDispose]: async () => luggage?.[Symbol.asyncDispose]() };
}

/** `NAME` of a variable as `NAME=VALUE`, with the value that it has here. */
function variable(given: string, here: NodeJS.ProcessEnv): string {
  if (given.includes("=")) {
    return given;
  }
  const value = here[given];
  if (value === undefined) {
    const reason = "must be NAME=VALUE, or the name of a variable that is set here";
    throw failure("INVALID_VALUE", { what: "--env", value: given, reason });
  }
  return `${given}=${value}`;
}

/** Data of a file, which may be a pipe. An address is fetched there, and standard input goes along anyway. */
async function userData(cli: Cli, part: Part): Promise<[Part, Cargo, string][]> {
  if (part.value === "-" || /^https?:\/\//i.test(part.value)) {
    return [];
  }
  return [[part, cargoOfText("user-data", await readUserData(cli, part.value)), ""]];
}

async function image(part: Part): Promise<[Part, Cargo, string][]> {
  const name = parseImageName(part.value);
  if (name.kind !== "file") {
    return [];
  }
  return [[part, await cargoOf(name.path), name.sha256 === undefined ? "" : `#sha256=${name.sha256}`]];
}

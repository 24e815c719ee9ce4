import { text } from "node:stream/consumers";
import { copy, type Guests } from "../core/guest/copying.ts";
import { failure } from "../errors.ts";
import { type Connection, openStrata } from "../remote/run.ts";
import type { GuestEnd } from "../transfer/guest.ts";
import { nearDetail } from "../util/nearest.ts";
import type { Cli } from "./cli.ts";
import type { FarCommand } from "./far-command.ts";
import { createProgram } from "./program.ts";

/** States in which a guest of another host can be copied to and from. */
const RUNNING: readonly string[] = ["Running", "Starting", "Restarting", "Delayed Shutdown"];

/**
 * `transfer` for guests of another host. It runs here, where the files are, and reaches the guests by `strata exec`
 * there: so no copy of a file is ever on that host, and what a guest sends is checked here as ever.
 */
export async function transferThere(cli: Cli, connection: Connection, far: FarCommand): Promise<void> {
  const before = far.words.slice(0, far.words.indexOf(far.command));
  const farGuests: Cli["farGuests"] = {
    transfer: (sources, target, options = {}) =>
      copy(guestsOf(cli, connection, before), [sources].flat(), target, options, cli.call),
  };
  await createProgram({ ...cli, farGuests }, far.words).parseAsync([...far.words], { from: "user" });
}

/** `options`: those before the command. */
function guestsOf(cli: Cli, connection: Connection, options: readonly string[]): Guests {
  let states: Promise<ReadonlyMap<string, string>> | undefined;
  return {
    async check(name) {
      states ??= statesOf(cli, connection, options);
      const known = states;
      const state = (await known).get(name);
      if (state === undefined) {
        const near = await nearDetail(name, async () => (await known).keys());
        throw failure("INSTANCE_NOT_FOUND", { name, ...near });
      }
      if (!RUNNING.includes(state)) {
        throw failure("WRONG_STATE", {
          name,
          reason: "Commands can run only in running instances",
          state,
        });
      }
    },
    end: (name): GuestEnd => ({
      name,
      run: async (argv, signal) => {
        const exec = ["exec", "--no-map-working-directory", name, "--", ...argv];
        return { ...openStrata(connection, [...options, ...exec], signal), resize() {} };
      },
    }),
    note: () => {},
  };
}

async function statesOf(
  cli: Cli,
  connection: Connection,
  options: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const words = [...options, "list", "--no-ipv4", "--format", "json"];
  const session = openStrata(connection, words, cli.call.signal);
  session.stdin.end();
  const [said, complaint, { code }] = await Promise.all([
    text(session.stdout),
    text(session.stderr),
    session.exit,
  ]);
  if (code !== 0) {
    throw failure("PROGRAM_FAILED", { program: `strata on ${connection.name}`, reason: complaint.trim() });
  }
  return readStates(connection, said);
}

/** Reads what `list` has printed on another host, which is not trusted to be that. */
function readStates({ name: host }: Connection, said: string): ReadonlyMap<string, string> {
  const invalid = (cause?: unknown) =>
    failure("PROGRAM_FAILED", { program: `strata on ${host}`, reason: "it printed no list" }, cause);
  let list: unknown;
  try {
    list = JSON.parse(said);
  } catch (error) {
    throw invalid(error);
  }
  const instances =
    typeof list === "object" && list !== null && "list" in list && Array.isArray(list.list)
      ? (list.list as unknown[])
      : undefined;
  if (instances === undefined) {
    throw invalid();
  }
  return new Map(
    instances.flatMap((each) =>
      typeof each === "object" && each !== null && "name" in each && "state" in each
        ? [[String(each.name), String(each.state)] as const]
        : [],
    ),
  );
}

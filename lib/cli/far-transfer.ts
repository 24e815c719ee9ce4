import { copy, type Guests } from "../core/guest/copying.ts";
import { failure } from "../errors.ts";
import { type Connection, openStrata } from "../remote/run.ts";
import type { GuestEnd } from "../transfer/guest.ts";
import { nearDetail } from "../util/nearest.ts";
import type { Cli } from "./cli.ts";
import type { FarCommand } from "./far-command.ts";
import { listThere } from "./far-list.ts";
import { printable } from "./format/cell.ts";
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
  before: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const request = { before, fields: ["name", "state"], addresses: false };
  const { objects, said, code } = await listThere(connection, request, cli.call.signal);
  if (code !== 0) {
    cli.io.stderr.write(`${printable(said)}\n`);
  }
  return new Map(objects.map(({ name, state }) => [String(name), String(state)]));
}

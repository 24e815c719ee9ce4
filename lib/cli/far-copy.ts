import { text } from "node:stream/consumers";
import type { Receiver, Ref } from "../core/api/strata.ts";
import { failure } from "../errors.ts";
import { type Connection, connectTo, openStrata } from "../remote/run.ts";
import { send } from "../remote/send.ts";
import { defined } from "../util/defined.ts";
import type { Cli } from "./cli.ts";
import { printable } from "./format/cell.ts";
import { addressOf } from "./host-address.ts";

/** An instance on another host. */
export interface Place {
  readonly host: string;
  readonly name: string;
}

/** Exports an instance or a snapshot into an import on another host. */
export async function copyTo(cli: Cli, { instance, snapshot }: Ref, to: Place): Promise<void> {
  const { instances } = await cli.strata();
  const connection = await connect(cli, to);
  const options = { ...defined({ snapshot }), ...cli.call };
  await feed(cli, connection, ["import", "-", "--as", to.name], (stdin) =>
    instances.export(instance, stdin, options),
  );
}

/** Gives an instance to another host. */
export async function moveTo(cli: Cli, name: string, to: Place): Promise<void> {
  const { instances } = await cli.strata();
  const connection = await connect(cli, to);
  const receiver: Receiver = {
    async accept(id, fill) {
      await feed(cli, connection, ["__take-in", "accept", to.name, id], fill);
    },
    async admit(id) {
      const said = await feed(cli, connection, ["__take-in", "admit", to.name, id], async () => {});
      if (said !== "admitted\n" && said !== "absent\n") {
        throw failed(to.host, `it answered ${JSON.stringify(printable(said).slice(0, 80))}`);
      }
      return said === "admitted\n";
    },
  };
  await instances.handOver(name, receiver, cli.call);
}

async function connect({ io, call }: Cli, { host }: Place): Promise<Connection> {
  const address = await addressOf(host, io.env);
  return connectTo(host, address, { env: io.env, ask: true, signal: call.signal });
}

/** Runs strata there with an input; resolves to its output. Its errors are ours. */
async function feed(
  cli: Cli,
  connection: Connection,
  words: readonly string[],
  fill: (to: NodeJS.WritableStream) => Promise<void>,
): Promise<string> {
  await using session = openStrata(connection, words, cli.call.signal);
  const said = Promise.all([text(session.stdout), text(session.stderr)]);
  said.catch(() => {});
  await send(session, fill);
  const { code } = await session.exit;
  const [output, complaint] = await said;
  cli.progress.clear();
  if (code !== 0) {
    throw failed(
      connection.name,
      printable(complaint.trim()).replace(/^strata: /, "") || `it ended with ${code}`,
    );
  }
  return output;
}

function failed(host: string, reason: string) {
  return failure("PROGRAM_FAILED", { program: `strata on ${host}`, reason });
}

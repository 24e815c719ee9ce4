import { text } from "node:stream/consumers";
import type { Ref } from "../core/api/strata.ts";
import { failure } from "../errors.ts";
import { connectTo, openStrata } from "../remote/run.ts";
import { send } from "../remote/send.ts";
import { defined } from "../util/defined.ts";
import type { Cli } from "./cli.ts";
import { printable } from "./format/cell.ts";
import { addressOf } from "./host-address.ts";

/** Exports an instance or a snapshot into an import on another host. */
export async function copyTo(
  cli: Cli,
  { instance, snapshot }: Ref,
  to: { readonly host: string; readonly name: string },
): Promise<void> {
  const { call, io } = cli;
  const { instances } = await cli.strata();
  const address = await addressOf(to.host, io.env);
  const connection = await connectTo(to.host, address, { env: io.env, ask: true, signal: call.signal });
  await using session = openStrata(connection, ["import", "-", "--as", to.name], call.signal);
  const said = text(session.stderr);
  session.stdout.resume();
  const options = { ...defined({ snapshot }), ...call };
  await send(session, (stdin) => instances.export(instance, stdin, options));
  const [{ code }, reason] = await Promise.all([session.exit, said]);
  cli.progress.clear();
  if (code !== 0) {
    throw failure("PROGRAM_FAILED", {
      program: `strata on ${to.host}`,
      reason: printable(reason.trim()).replace(/^strata: /, ""),
    });
  }
}

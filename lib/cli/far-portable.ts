import { createWriteStream } from "node:fs";
import { finished, pipeline } from "node:stream/promises";
import { type Connection, openStrata } from "../remote/run.ts";
import { send } from "../remote/send.ts";
import type { Cli } from "./cli.ts";
import type { FarCommand } from "./far-command.ts";
import { write } from "./io.ts";
import { createProgram } from "./program.ts";
import { asNewFile, openFile } from "./user-file.ts";
import { isArgument, type Part, partsOf, withValues } from "./words.ts";

const STREAM = "-";

/**
 * `export` and `import` on another host of a file of this one, as a stream between the two; resolves to the exit code
 * there, or to undefined where no file of this host is named.
 */
export async function carryParcel(
  cli: Cli,
  connection: Connection,
  { command, words }: FarCommand,
): Promise<number | undefined> {
  const { parts } = partsOf(createProgram(cli, words), words);
  const [first, second] = parts.filter(isArgument);
  const file = command === "export" ? second : first;
  if (file === undefined || file.value === STREAM) {
    return undefined;
  }
  const there = withValues(words, new Map<Part, string>([[file, STREAM]]));
  return command === "export"
    ? exportHere(cli, connection, { words: there, name: first?.value ?? "", path: file.value })
    : importFrom(cli, connection, { words: there, path: file.value });
}

async function exportHere(
  cli: Cli,
  connection: Connection,
  { words, name, path }: { readonly words: readonly string[]; readonly name: string; readonly path: string },
): Promise<number> {
  let code = 0;
  await asNewFile(path, async (partial) => {
    const file = createWriteStream(partial, { flags: "wx", mode: 0o600, flush: true });
    await using session = openStrata(connection, words, cli.call.signal);
    session.stdin.end();
    session.stderr.pipe(cli.io.stderr, { end: false });
    await pipeline(session.stdout, file, { signal: cli.call.signal });
    await finished(file);
    code = (await session.exit).code;
    return code === 0;
  });
  if (code === 0) {
    await write(cli.io, `Exported: ${name}\n`);
  }
  return code;
}

async function importFrom(
  cli: Cli,
  connection: Connection,
  { words, path }: { readonly words: readonly string[]; readonly path: string },
): Promise<number> {
  const { signal } = cli.call;
  const file = await openFile(path);
  await using session = openStrata(connection, words, signal);
  session.stderr.pipe(cli.io.stderr, { end: false });
  session.stdout.pipe(cli.io.stdout, { end: false });
  await send(session, (to) => pipeline(file, to, { signal }));
  return (await session.exit).code;
}

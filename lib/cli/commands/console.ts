import { stripVTControlCharacters } from "node:util";
import type { Command } from "commander";
import { failure } from "../../errors.ts";
import { defined } from "../../util/defined.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { canAsk } from "../io.ts";
import { writeTo } from "../output.ts";
import { chosenNames } from "./lifecycle.ts";

/** Ctrl-], which leaves the console, as with virsh. */
const LEAVE = 0x1d;

export function consoleCommand(cli: Cli): Command {
  return command("console", "open the serial console of an instance", "console web")
    .argument("[name]", "running instance (default: the primary instance)")
    .option("--force", "take the console over from whoever has it open")
    .action(async (given: string | undefined, { force }: { force?: boolean }) => {
      const { io } = cli;
      if (!canAsk(io)) {
        throw failure("USAGE", { reason: "console needs a terminal; `strata logs` shows what was written" });
      }
      const strata = await cli.strata();
      const [name = ""] = await chosenNames(strata, given === undefined ? [] : [given], false);
      const size = "columns" in io.stdout ? { columns: io.stdout.columns, rows: io.stdout.rows } : undefined;
      await using console = await strata.instances.console(name, {
        signal: cli.call.signal,
        ...defined({ force, tty: size }),
      });
      io.stderr.write(`Connected to the console of ${name}. Ctrl-] leaves it.\r\n`);
      await attach(cli, console);
      io.stderr.write("\r\n");
    });
}

type Session = Awaited<ReturnType<Awaited<ReturnType<Cli["strata"]>>["instances"]["console"]>>;

/** Connects the terminal with a console until either ends, or the key is pressed that leaves it. */
async function attach({ io, call }: Cli, session: Session): Promise<void> {
  const { stdin, stdout } = io;
  const raw = "setRawMode" in stdin ? stdin : undefined;
  const resize = () => "columns" in stdout && session.resize(stdout.columns, stdout.rows);
  let leave = () => {};
  const left = new Promise<void>((resolve) => {
    leave = resolve;
  });
  const type = (chunk: Buffer | string) => {
    const typed = Buffer.from(chunk);
    const end = typed.indexOf(LEAVE);
    session.stdin.write(end === -1 ? typed : typed.subarray(0, end));
    if (end !== -1) {
      leave();
    }
  };
  raw?.setRawMode?.(true);
  stdout.on("resize", resize);
  session.stdin.on("error", leave);
  session.stdout.on("error", leave);
  session.stdout.on("end", leave);
  session.stdout.on("close", leave);
  session.stdout.pipe(stdout, { end: false });
  call.signal.addEventListener("abort", leave, { once: true });
  stdin.on("data", type);
  stdin.on("end", leave);
  stdin.resume();
  try {
    await left;
  } finally {
    session.stdout.unpipe(stdout);
    stdin.off("data", type);
    stdin.off("end", leave);
    stdin.pause();
    if ("unref" in stdin) {
      stdin.unref();
    }
    call.signal.removeEventListener("abort", leave);
    stdout.off("resize", resize);
    raw?.setRawMode?.(false);
  }
}

export function logsCommand(cli: Cli): Command {
  return command(
    "logs",
    "show what an instance wrote on its serial console",
    "logs web",
    "logs --follow --lines 20 web",
  )
    .argument("[name]", "instance (default: the primary instance)")
    .option("-f, --follow", "go on with what is written from now on, until Ctrl-C")
    .option("-n, --lines <lines>", "show only the last lines")
    .action(async (given: string | undefined, { follow, lines }: { follow?: boolean; lines?: string }) => {
      const wanted = parseLines(lines);
      const strata = await cli.strata();
      const [name = ""] = await chosenNames(strata, given === undefined ? [] : [given], false);
      const chunks = strata.instances.logs(name, {
        signal: cli.call.signal,
        ...defined({ follow, lines: wanted }),
      });
      const { stdout } = cli.io;
      const decoder = new TextDecoder();
      for await (const chunk of chunks) {
        // On a terminal what a guest has written must not move the cursor or set colours; a file gets it as it is.
        const text = stdout.isTTY === true ? harmless(decoder.decode(chunk, { stream: true })) : chunk;
        if (text.length > 0 && !(await writeTo(stdout, text))) {
          return;
        }
      }
    });
}

function parseLines(lines: string | undefined): number | undefined {
  if (lines === undefined) {
    return undefined;
  }
  if (!/^\d{1,9}$/.test(lines)) {
    throw failure("INVALID_VALUE", { what: "--lines", value: lines, reason: "must be a whole number" });
  }
  return Number(lines);
}

function harmless(text: string): string {
  return stripVTControlCharacters(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "");
}

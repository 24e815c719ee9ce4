import { PassThrough } from "node:stream";
import type {
  ConsoleLogOptions,
  ConsoleOptions,
  ConsoleSession,
  Consoles,
} from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { getManaged, type LibvirtEngine } from "../engine.ts";
import { ENGINE, fileError, isSaid } from "../errors.ts";
import { CONSOLE_IN_USE } from "../messages.ts";
import { ConsoleFlags } from "../rpc/index.ts";
import { readConsoleLog } from "../xml/console.ts";
import { readLog } from "./log-file.ts";

export function consoleGroup(engine: LibvirtEngine): Consoles {
  return {
    log: (id, options) => log(engine, id, options),
    open: (id, options) => open(engine, id, options),
  };
}

async function* log(
  engine: LibvirtEngine,
  id: string,
  options: ConsoleLogOptions,
): AsyncGenerator<Uint8Array> {
  const { name, document, metadata } = await getManaged(engine, id);
  const path = readConsoleLog(document);
  if (path === undefined) {
    throw failure("UNSUPPORTED", {
      what: `the console log of "${name}"`,
      engine: ENGINE,
      reason:
        metadata.adopted === undefined
          ? "its console was not logged yet when it was last started; the next start begins to"
          : "its own definition has no <log> at its serial console",
    });
  }
  try {
    yield* readLog(path, options);
  } catch (error) {
    throw fileError(error, path);
  }
}

async function open(
  engine: LibvirtEngine,
  id: string,
  { force, signal }: ConsoleOptions,
): Promise<ConsoleSession> {
  const { domain, name } = await getManaged(engine, id);
  if (!(await domain.isActive())) {
    throw failure("WRONG_STATE", {
      name,
      reason: "Only running instances have a console",
      state: "Stopped",
    });
  }
  const limits = signal === undefined ? {} : { signal };
  const flags = force === true ? ConsoleFlags.FORCE : 0;
  const stream = await domain.openConsole(null, flags, limits).catch((error: unknown) => {
    throw isSaid(error, CONSOLE_IN_USE) ? failure("CONSOLE_BUSY", { name }, error) : error;
  });
  // Taken over by another, ended by the signal, a lost connection: whoever reads sees the end.
  const stdout = new PassThrough();
  stream.on("error", () => {});
  stream.once("close", () => stdout.end());
  stream.pipe(stdout);
  return {
    stdin: stream,
    stdout,
    resize() {},
    async [Symbol.asyncDispose]() {
      stream.destroy();
    },
  };
}

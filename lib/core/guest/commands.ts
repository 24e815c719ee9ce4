import type { Context, ExecOptions, ExecSession, Instance } from "../../engine/contract.ts";
import { asStrataError, failure } from "../../errors.ts";
import { folderInside } from "../../mounts/folder.ts";
import type { GuestExecOptions, ShellOptions } from "../api/strata.ts";
import { awaitBoot, START_TIMEOUT } from "../instances/boot.ts";
import { getInstance } from "../instances/instances.ts";
import { startOne } from "../instances/lifecycle.ts";
import { contextOf, type Session } from "../session/session.ts";
import { execIn, requireLogin } from "./guest.ts";

/**
 * Runs argv as the default user. An instance that is not running is started, and strata waits for one that is
 * booting.
 */
export async function exec(
  session: Session,
  name: string,
  argv: readonly string[],
  options: GuestExecOptions = {},
): Promise<ExecSession> {
  const { hostFolder, timeout, progress, warn, env, ...rest } = options;
  const command = withEnvironment(argv, env ?? {});
  return inReady(session, name, timeout, contextOf(options), ({ mounts }) => {
    const cwd = rest.cwd ?? (hostFolder === undefined ? undefined : folderInside(mounts, hostFolder));
    return [command, { ...rest, ...(cwd === undefined ? {} : { cwd }) }];
  });
}

/** The login shell on a terminal, likewise. */
export async function shell(session: Session, name: string, options: ShellOptions): Promise<ExecSession> {
  const context = contextOf(options);
  const { tty, timeout } = options;
  return inReady(session, name, timeout, context, () => [[], { tty, signal: context.signal }]);
}

/** Runs a command in an instance, made for the state that the instance has then. */
async function inReady(
  session: Session,
  name: string,
  timeout = START_TIMEOUT,
  context: Context,
  make: (instance: Instance) => readonly [argv: readonly string[], options: ExecOptions],
): Promise<ExecSession> {
  const found = await getInstance(session, name);
  await requireLogin(session, found);
  const run = async () => {
    const instance = await getInstance(session, name);
    return execIn(session, instance, ...make(instance));
  };
  if (found.state !== "running") {
    await startOne(session, found, timeout, context);
    return run();
  }
  // Only the guest itself shows whether it was started elsewhere or rebooted on its own.
  const early = found.record.startingAt
    ? undefined
    : await unlessSilent(execIn(session, found, ...make(found)));
  if (early !== undefined) {
    return early;
  }
  await awaitBoot(session, found, timeout, context);
  return run();
}

/** Undefined if the guest does not answer. */
async function unlessSilent<T>(started: Promise<T>): Promise<T | undefined> {
  try {
    return await started;
  } catch (error) {
    if (asStrataError(error).code !== "GUEST_UNREACHABLE") {
      throw error;
    }
    return undefined;
  }
}

/** A command with variables in its environment on any engine, since every guest has `env`. */
function withEnvironment(argv: readonly string[], env: Readonly<Record<string, string>>): readonly string[] {
  const variables = Object.entries(env).map(([name, value]) => {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      throw failure("INVALID_VALUE", {
        what: "a variable's name",
        value: name,
        reason: "must have letters, digits and underscores, and not begin with a digit",
      });
    }
    return `${name}=${value}`;
  });
  if (variables.length === 0) {
    return argv;
  }
  // env would treat a program with "=" in its name as another variable.
  const command = argv[0]?.includes("=") === true ? ["sh", "-c", 'exec "$@"', "sh", ...argv] : argv;
  return ["env", ...variables, ...command];
}

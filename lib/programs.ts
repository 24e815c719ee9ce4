import { access } from "node:fs/promises";
import { join } from "node:path";
import { failure } from "./errors.ts";

/** Programs that are looked for beside the PATH: ordinary users' PATH often lacks the sbin folders. */
const MORE_FOLDERS = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/** Runs a program with a list of arguments; resolves to its standard output. Mapped to the error table. */
export async function run(
  program: string,
  args: readonly string[],
  options: {
    readonly signal?: AbortSignal;
    readonly cwd?: string;
    readonly input?: string;
    /** Debian package of the program, for the hint. */
    readonly package?: string;
    /** ms. */
    readonly timeout?: number;
    /** What ends it on cancellation and time-out; by default SIGTERM. */
    readonly killSignal?: NodeJS.Signals;
  } = {},
): Promise<string> {
  const { signal, cwd, input, timeout, killSignal } = options;
  const { execa } = await import("execa");
  const result = await execa(program, args, {
    reject: false,
    env: { LC_ALL: "C", PATH: [process.env.PATH, ...MORE_FOLDERS].join(":") },
    ...(signal === undefined ? {} : { cancelSignal: signal }),
    ...(cwd === undefined ? {} : { cwd }),
    ...(timeout === undefined ? {} : { timeout }),
    ...(killSignal === undefined ? {} : { killSignal }),
    ...(input === undefined ? { stdin: "ignore" as const } : { input }),
  });
  if (result.isCanceled) throw failure("CANCELLED", {}, result);
  if (result.code === "ENOENT")
    throw failure("PROGRAM_MISSING", { program, package: options.package ?? program }, result);
  if (result.failed) {
    const reason =
      String(result.stderr).trim().split("\n").slice(-5).join("\n") || String(result.shortMessage);
    if (/No space left on device/.test(reason)) throw failure("NO_SPACE", { where: cwd ?? program }, result);
    throw failure("PROGRAM_FAILED", { program, reason }, result);
  }
  return String(result.stdout);
}

/** Rejects with PROGRAM_MISSING, naming all that are missing, unless every program is there. */
export async function requirePrograms(packages: Readonly<Record<string, string>>): Promise<void> {
  const folders = [...(process.env.PATH ?? "").split(":").filter(Boolean), ...MORE_FOLDERS];
  const missing: string[] = [];
  for (const program of Object.keys(packages)) {
    const places = folders.map((folder) => access(join(folder, program)));
    if (!(await Promise.allSettled(places)).some(({ status }) => status === "fulfilled"))
      missing.push(program);
  }
  if (missing.length === 0) return;
  const wanted = [...new Set(missing.map((program) => packages[program] ?? program))];
  throw failure("PROGRAM_MISSING", { program: missing.join(", "), package: wanted.join(" ") });
}

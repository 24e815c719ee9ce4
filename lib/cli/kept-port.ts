import { access, readdir, readFile, rm } from "node:fs/promises";
import { homedir, userInfo } from "node:os";
import { isAbsolute, join } from "node:path";
import { failure } from "../errors.ts";
import { atOwn, makeFolder, readOwn } from "../util/own-files.ts";
import { run } from "../util/programs.ts";
import type { ForwardSpec } from "./forward-spec.ts";

/** A forwarded port that a unit of the user's systemd keeps. */
export interface KeptPort extends ForwardSpec {
  readonly instance: string;
}

/** Variables that decide which instances strata finds, and where. */
const KEPT_VARIABLES = /^(STRATA_.*|XDG_(CONFIG|DATA|CACHE|STATE)_HOME|HOME|PATH)$/;
/** Exit codes at which another try is of no use: usage, not found, denied, unsupported. */
const FINAL = "2 3 8 11";

const HEADING = "# Written by strata; `strata port delete` removes it.";

export function unitName({ address, port }: Pick<ForwardSpec, "address" | "port">): string {
  const place = address === "127.0.0.1" ? "" : `${address.replaceAll(/[^0-9a-z]/gi, "_")}-`;
  return `strata-port-${place}${port}.service`;
}

/** The text of a unit that runs `command` for as long as the user's systemd runs. */
export function unitText(kept: KeptPort, command: readonly string[], env: NodeJS.ProcessEnv): string {
  const { instance, address, port, to } = kept;
  const variables = Object.entries(env).flatMap(([name, value]) =>
    KEPT_VARIABLES.test(name) && value !== undefined ? [`Environment=${word(`${name}=${value}`)}`] : [],
  );
  return [
    HEADING,
    "[Unit]",
    `Description=port ${port} of ${address} to ${instance}:${to}`,
    "StartLimitIntervalSec=0",
    "",
    "[Service]",
    ...variables,
    `ExecStart=${command.map(argument).join(" ")}`,
    // Another process may have the port, or the engine be away for a while.
    "Restart=always",
    "RestartSec=5",
    `RestartPreventExitStatus=${FINAL}`,
    "SuccessExitStatus=130",
    "",
    "[Install]",
    "WantedBy=default.target",
    "",
    "[X-Strata]",
    `Instance=${instance}`,
    `Address=${address}`,
    `Port=${port}`,
    `To=${to}`,
    "",
  ].join("\n");
}

/** A word as systemd reads it back: "%" begins a specifier. */
function word(text: string): string {
  const escaped = text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
  return `"${escaped.replaceAll("%", "%%")}"`;
}

/** The same in a command line, where "$" begins a variable. */
function argument(text: string): string {
  return word(text).replaceAll("$", "$$$$");
}

/** What a unit of ours keeps; undefined for a text that is not ours. */
export function readUnit(text: string): KeptPort | undefined {
  const value = (key: string) =>
    new RegExp(`^${key}=(.*)$`, "m").exec(text.split("[X-Strata]")[1] ?? "")?.[1];
  const [instance, address, port, to] = ["Instance", "Address", "Port", "To"].map(value);
  if (!text.startsWith(HEADING) || !instance || !address || !port || !to) {
    return undefined;
  }
  return { instance, address, port: Number(port), to: Number(to) };
}

function folderOf(env: NodeJS.ProcessEnv): string {
  const base = env.XDG_CONFIG_HOME;
  const config = base !== undefined && isAbsolute(base) ? base : join(env.HOME || homedir(), ".config");
  return join(config, "systemd/user");
}

function systemctl(...args: string[]): Promise<string> {
  return run("systemctl", ["--user", ...args], { package: "systemd" });
}

/** Writes a unit and starts it, now and whenever the user's systemd starts. */
export async function keepPort(
  kept: KeptPort,
  command: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<void> {
  const name = unitName(kept);
  const path = join(folderOf(env), name);
  const before = await readOwn(path, () => readFile(path, "utf8"));
  if (before !== undefined && readUnit(before) === undefined) {
    throw failure("FILE_NOT_OURS", { path });
  }
  const { default: writeFileAtomic } = await import("write-file-atomic");
  await atOwn(path, async () => {
    await makeFolder(folderOf(env));
    await writeFileAtomic(path, unitText(kept, command, env), { mode: 0o600 });
  });
  try {
    await systemctl("daemon-reload");
    await systemctl("enable", name);
    await systemctl("restart", name);
  } catch (error) {
    if (before === undefined) {
      await rm(path, { force: true });
    }
    throw error;
  }
}

/** All that is kept, by port. */
export async function keptPorts(env: NodeJS.ProcessEnv): Promise<KeptPort[]> {
  const folder = folderOf(env);
  const names = await readdir(folder).catch(() => []);
  const found: KeptPort[] = [];
  for (const name of names.filter((each) => /^strata-port-.*\.service$/.test(each))) {
    const path = join(folder, name);
    const text = await readOwn(path, () => readFile(path, "utf8"));
    const kept = text === undefined ? undefined : readUnit(text);
    if (kept !== undefined) {
      found.push(kept);
    }
  }
  return found.sort((a, b) => a.port - b.port);
}

/** Stops a unit and takes it away. */
export async function dropPort(kept: KeptPort, env: NodeJS.ProcessEnv): Promise<void> {
  const name = unitName(kept);
  const path = join(folderOf(env), name);
  await systemctl("disable", "--now", name);
  await atOwn(path, () => rm(path, { force: true }));
  await systemctl("daemon-reload");
}

/** False where the user's systemd, and what it keeps, ends with the user's last login. */
export async function outlivesLogin(): Promise<boolean> {
  return access(join("/var/lib/systemd/linger", userInfo().username)).then(
    () => true,
    () => false,
  );
}

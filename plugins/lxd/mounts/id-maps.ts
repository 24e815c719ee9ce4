import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import writeFileAtomic from "write-file-atomic";
import { z } from "zod";
import type { IdMap, Mount } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { callerIds } from "../../../lib/mounts/caller.ts";
import type { LxdEngine } from "../engine.ts";
import { lxdError } from "../errors.ts";
import type { Flavour } from "../flavour.ts";
import { ID_MAP_REFUSED } from "../messages.ts";
import type { Config } from "../rest/shapes.ts";
import { tryIdMap } from "./id-map-trial.ts";

type Maps = Pick<Mount, "uidMap" | "gidMap">;

/**
 * The instance's id map for all of its mounts: LXD has one per instance, not per mount. Rejects with
 * INVALID_VALUE if two mounts map the same id differently.
 */
export function idMapKeys(mounts: readonly Maps[]): Config {
  return { "raw.idmap": idMapLines(mounts).join("\n") };
}

function idMapLines(mounts: readonly Maps[]): string[] {
  return [
    ...linesOf(
      "uid",
      mounts.flatMap(({ uidMap }) => uidMap),
    ),
    ...linesOf(
      "gid",
      mounts.flatMap(({ gidMap }) => gidMap),
    ),
  ];
}

function linesOf(kind: "uid" | "gid", maps: readonly IdMap[]): string[] {
  const guests = new Map<number, number>();
  for (const { host, guest } of maps) {
    const known = guests.get(host);
    const taken = [...guests].some(([other, inside]) => inside === guest && other !== host);
    if (taken || (known !== undefined && known !== guest)) {
      throw failure("INVALID_VALUE", {
        what: `the ${kind} map`,
        value: `${host}:${guest}`,
        reason: "all mounts of a container share one map, and another mount maps this id differently",
      });
    }
    guests.set(host, guest);
  }
  return [...guests].sort(([a], [b]) => a - b).map(([host, guest]) => `${kind} ${host} ${guest}`);
}

/** Rejects with UNSUPPORTED if the host does not allow LXD to map all of these in one container. */
export async function requireMappable(engine: LxdEngine, mounts: readonly Maps[]): Promise<void> {
  const reason = await mapRefusal(engine, mounts);
  if (reason !== null) {
    throw failure("UNSUPPORTED", { what: "mapping these ids", engine: engine.flavour.title, reason });
  }
}

/**
 * Why the host does not allow LXD to map all of these in one container; null if it does. This is tried, once
 * for each set of maps as long as the server and what it may map do not change.
 */
export async function mapRefusal(engine: LxdEngine, mounts: readonly Maps[]): Promise<string | null> {
  const lines = idMapLines(mounts);
  if (lines.length === 0) {
    return null;
  }
  if (lines.some((line) => / 0 /.test(line))) {
    return "the host's root must not be mapped into a container";
  }
  const memory = await remembered(engine);
  const key = lines.join("\n");
  const known = memory.tried[key];
  if (known !== undefined) {
    return known;
  }
  const found = await tryIdMap(engine, key);
  const reason = found === null ? null : explain(engine.flavour, lines, found);
  // Other failures may be temporary.
  if (found === null || ID_MAP_REFUSED.test(found)) {
    await remember(engine, { ...memory, tried: { ...memory.tried, [key]: reason } });
  }
  return reason;
}

/** True if ids can be mapped at all, found by the caller's own. The host's root is never mapped. */
export async function sampleRefusal(engine: LxdEngine): Promise<string | null> {
  const { uid, gid } = callerIds();
  const own = (host: number): IdMap[] => [{ host: host === 0 ? DEFAULT_USER : host, guest: DEFAULT_USER }];
  return mapRefusal(engine, [{ uidMap: own(uid), gidMap: own(gid) }]).catch(
    (error: unknown) => `it could not be tried: ${lxdError(error, engine.flavour).message}`,
  );
}

const DEFAULT_USER = 1000;

/**
 * LXC starts a program for the maps, which the host may refuse; then the lines that would allow it are known.
 */
export function explain({ title }: Flavour, lines: readonly string[], found: string): string {
  if (!ID_MAP_REFUSED.test(found)) {
    return `${title} tried it: ${found}`;
  }
  const entries = (kind: string, file: string) =>
    lines
      .flatMap((line) => new RegExp(`^${kind} (\\d+)`).exec(line)?.[1] ?? [])
      .map((host) => `root:${host}:1 in ${file}`);
  const wanted = [...entries("uid", "/etc/subuid"), ...entries("gid", "/etc/subgid")];
  return `the host does not allow ${title} to map these ids; to allow it, add the lines ${wanted.join(", ")}`;
}

const memoryShape = z.object({
  /** A digest of everything that the result of a trial depends on. */
  host: z.string(),
  tried: z.record(z.string(), z.string().nullable()),
});
type Memory = z.infer<typeof memoryShape>;

function memoryPath({ dataFolder, flavour }: LxdEngine): string {
  return join(dataFolder, `${flavour.name}-id-maps.json`);
}

async function remembered(engine: LxdEngine): Promise<Memory> {
  const { environment } = await engine.server();
  const files = ["/proc/sys/kernel/random/boot_id", "/etc/subuid", "/etc/subgid"];
  const contents = await Promise.all(files.map((path) => readFile(path, "utf8").catch(() => "")));
  const { server_pid, server_version } = environment;
  const { settings } = engine;
  const facts = JSON.stringify([...contents, server_pid, server_version, settings.project, settings.pool]);
  const host = createHash("sha256").update(facts).digest("hex");
  try {
    const memory = memoryShape.parse(JSON.parse(await readFile(memoryPath(engine), "utf8")));
    if (memory.host === host) {
      return memory;
    }
  } catch {
    // It does not exist yet or cannot be read, so the maps are tried again.
  }
  return { host, tried: {} };
}

/** Without it, the next process tries again. */
async function remember(engine: LxdEngine, memory: Memory): Promise<void> {
  try {
    await mkdir(engine.dataFolder, { recursive: true, mode: 0o700 });
    await writeFileAtomic(memoryPath(engine), JSON.stringify(memory), { mode: 0o600 });
  } catch (error) {
    engine.log.debug("what was tried could not be kept", { error: String(error) });
  }
}

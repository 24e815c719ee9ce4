import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import tar from "tar-stream";
import { z } from "zod";
import { reasonOf } from "../../../lib/errors.ts";
import { ROOT } from "../domain/devices.ts";
import { instancePath } from "../domain/managed.ts";
import { placement } from "../domain/placement.ts";
import type { LxdEngine } from "../engine.ts";
import { isStatus } from "../errors.ts";
import { ownHeaders } from "../lifecycle/images.ts";
import { LOG_ERROR, NO_INIT, START_GIVEN_UP } from "../messages.ts";
import { LxdError } from "../rest/errors.ts";
import { instanceShape } from "../rest/shapes.ts";

/** Marks a container that exists only for a trial. */
const TRIAL = "user.strata.trial";
/** Interval between readings of a container's log, ms. */
const POLL_INTERVAL_MS = 50;
/** How long a trial may take, ms. */
const TRIAL_TIMEOUT_MS = 20_000;
/** A trial's container that is older than this was left behind, ms. */
const ABANDONED_AFTER_MS = 60_000;

/**
 * Why LXD does not start a container with these lines of `raw.idmap`; null if it does. The log of a container
 * that has nothing to start shows it. LXD gives up on that container a few seconds later and removes it
 * itself. Rejects if the log does not show it.
 */
export async function tryIdMap(engine: LxdEngine, lines: string): Promise<string | null> {
  const { client } = engine;
  await sweep(engine);
  const { environment } = await engine.server();
  const { pool } = await placement(engine);
  const name = `strata-trial-${randomBytes(6).toString("hex")}`;
  const image = await emptyImage(name, environment.architectures[0] ?? "x86_64");
  const fingerprint = createHash("sha256").update(image).digest("hex");
  const upload = { size: BigInt(image.length), headers: ownHeaders(fingerprint) };
  await client.upload("/1.0/images", Readable.from([image]), upload);
  try {
    const body = {
      name,
      type: "container",
      ephemeral: true,
      profiles: [],
      config: { "raw.idmap": lines, [TRIAL]: "true" },
      devices: { [ROOT]: { type: "disk", path: "/", pool: pool.name } },
      source: { type: "image", fingerprint },
    };
    // Mounts are of folders on the member whose socket is used.
    const target = environment.server_clustered ? environment.server_name : undefined;
    await client.run("POST", "/1.0/instances", body, { query: { target } });
    return await startOf(engine, name);
  } finally {
    await client.run("DELETE", `/1.0/images/${fingerprint}`, undefined).catch(() => undefined);
  }
}

async function startOf({ client }: LxdEngine, name: string): Promise<string | null> {
  const body = { action: "start", timeout: -1 };
  const { id } = await client.start("PUT", instancePath(name, "state"), body);
  let ended: string | undefined;
  void client.wait(id).then(
    () => {
      ended = "a container without a program has started";
    },
    (error: unknown) => {
      ended = reasonOf(error);
    },
  );
  for (const end = Date.now() + TRIAL_TIMEOUT_MS; Date.now() < end; await delay(POLL_INTERVAL_MS)) {
    const log = await client.text(instancePath(name, "logs", "lxc.log")).catch(() => "");
    if (NO_INIT.test(log)) {
      return null;
    }
    if (START_GIVEN_UP.test(log)) {
      return firstError(log) ?? "the server does not say why";
    }
    if (ended !== undefined) {
      throw new LxdError(0, ended);
    }
  }
  throw new LxdError(0, `the server has not answered within ${TRIAL_TIMEOUT_MS / 1000} s`);
}

/** The first error in a container's log, without its prefix. */
export function firstError(log: string): string | undefined {
  const line = log.split("\n").find((each) => LOG_ERROR.test(each));
  return line?.replace(LOG_ERROR, "").trim();
}

/** An empty root folder. `description` makes it a distinct image. */
async function emptyImage(description: string, architecture: string): Promise<Buffer> {
  const pack = tar.pack();
  pack.entry(
    { name: "metadata.yaml" },
    `architecture: ${architecture}\ncreation_date: 1700000000\nproperties: {description: ${description}}\n`,
  );
  pack.entry({ name: "rootfs/", type: "directory", mode: 0o755 });
  pack.finalize();
  return buffer(pack);
}

/** Removes the container of a trial whose process was killed before it began. */
async function sweep({ client }: LxdEngine): Promise<void> {
  const shape = instanceShape.extend({ created_at: z.string() });
  const { value } = await client.get("/1.0/instances", z.array(shape), { query: { recursion: "1" } });
  for (const { name, config, status, created_at } of value) {
    if (
      config[TRIAL] !== undefined &&
      status === "Stopped" &&
      Date.now() - Date.parse(created_at) > ABANDONED_AFTER_MS
    ) {
      await client.run("DELETE", instancePath(name), undefined).catch((error: unknown) => {
        if (!isStatus(error, 404)) {
          throw error;
        }
      });
    }
  }
}

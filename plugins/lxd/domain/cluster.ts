import { z } from "zod";
import type { Cluster, ClusterMember, Context } from "../../../lib/engine/contract.ts";
import { lockedId } from "../../../lib/engine/locks.ts";
import { failure } from "../../../lib/errors.ts";
import type { LxdEngine } from "../engine.ts";
import { getReady } from "../journal/recovery.ts";
import { memberShape } from "../rest/shapes.ts";
import { instancePath } from "./managed.ts";
import { requireStopped } from "./view.ts";

export function clusterGroup(engine: LxdEngine): Cluster {
  return {
    members: () => members(engine),
    move: async (lock, member, context) => move(engine, lockedId(engine, lock), member, context),
  };
}

async function members({ client }: LxdEngine): Promise<ClusterMember[]> {
  const { value } = await client.get("/1.0/cluster/members", z.array(memberShape), {
    query: { recursion: "1" },
  });
  return value.map(({ server_name: name, status, message }) => ({
    name,
    online: status === "Online",
    detail: status === "Online" ? message : `${status}: ${message}`,
  }));
}

/** Rejects with INVALID_VALUE unless this member exists and is online. */
export async function requireMember(engine: LxdEngine, member: string): Promise<void> {
  const all = await members(engine);
  const found = all.find(({ name }) => name === member);
  const refuse = (reason: string) => failure("INVALID_VALUE", { what: "the member", value: member, reason });
  if (found === undefined) {
    throw refuse(`must be one of ${all.map(({ name }) => name).join(", ")}`);
  }
  if (!found.online) {
    throw refuse(`it does not answer: ${found.detail}`);
  }
}

/** LXD copies disk and snapshots, then removes the originals. */
async function move(engine: LxdEngine, id: string, member: string, context: Context): Promise<void> {
  const managed = await getReady(engine, id);
  const { name } = managed;
  await requireMember(engine, member);
  if (managed.member === member) {
    return;
  }
  requireStopped(managed, "Only stopped instances can be moved");
  context.signal.throwIfAborted();
  context.progress({ phase: `Moving to ${member}` });
  const body = { name, migration: true, live: false };
  await engine.client.run("POST", instancePath(name), body, {
    query: { target: member },
    progress: context.progress,
  });
}

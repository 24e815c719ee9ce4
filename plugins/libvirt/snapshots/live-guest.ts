import type { Consistency } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { hasSavedMemory } from "../domain/view.ts";
import type { Managed } from "../engine.ts";
import { ENGINE, isLibvirt } from "../errors.ts";
import { AgentTimeout, DomainState, JobType } from "../rpc/index.ts";
import { readDiskAt, writtenDisks } from "../xml/disks.ts";
import { type Element, parse } from "../xml/document.ts";
import { putMetadata } from "../xml/metadata.ts";

/**
 * Rejects unless the instance has a guest whose disks a snapshot can be taken of while it runs: one that writes the
 * disks of its definition and no others, and that nothing else is at work on.
 */
export async function requireLiveGuest(
  managed: Managed,
  consistency: Consistency,
  grouped: boolean,
): Promise<void> {
  const { domain, name } = managed;
  const [{ state }, saved] = await Promise.all([domain.getState(), hasSavedMemory(managed)]);
  const reason = `A snapshot with the consistency "${consistency}" needs a guest that runs`;
  if (state === DomainState.SHUTOFF || state === DomainState.CRASHED) {
    throw saved
      ? failure("INSTANCE_SUSPENDED", { name, reason })
      : failure("WRONG_STATE", { name, reason, state: "Stopped" });
  }
  if (state === DomainState.SHUTDOWN) {
    throw failure("WRONG_STATE", { name, reason, state: "Stopping" });
  }
  // A paused guest writes nothing, so that its disks are as those of one that runs; its agent does not answer.
  // Nor could it be told from one that a save has paused.
  if ((consistency !== "crash" || grouped) && state !== DomainState.RUNNING) {
    throw failure("WRONG_STATE", { name, reason, state: "Suspended" });
  }
  const { type } = await domain.getJobInfo();
  if (type !== JobType.NONE) {
    throw failure("BUSY", { name });
  }
  requireDefinedDisks(managed, await parse(await domain.getXml()));
}

/** A disk that is attached to the guest alone would not come back with a restore; nor is a switch to another kept. */
function requireDefinedDisks({ name, document, metadata }: Managed, live: Element): void {
  // What this take has found out of attached disks is not in the live document yet.
  putMetadata(live, metadata);
  const defined = writtenDisks(document, metadata).map(({ target }) => target);
  const written = writtenDisks(live, metadata).map(({ target }) => target);
  const odd = [...defined, ...written].find(
    (target) => readDiskAt(document, target) !== readDiskAt(live, target),
  );
  if (odd !== undefined) {
    throw failure("UNSUPPORTED", {
      what: `a snapshot of "${name}" while it runs`,
      engine: ENGINE,
      reason: `the running guest and the definition differ in disk ${odd}, which another tool has attached, detached or replaced; after a stop and a start they agree`,
    });
  }
}

/** Seconds that the agent may take to answer, or to freeze the file systems. */
const AGENT_TIMEOUT_S = 20;

/**
 * Runs a call that has the guest's agent freeze the file systems, and rejects with AGENT_MISSING if no agent answers.
 * What another tool has frozen stays frozen, and the call is not made.
 */
export async function withAgent<T>({ domain, name }: Managed, work: () => Promise<T>): Promise<T> {
  try {
    const status = await domain.agentCommand('{"execute":"guest-fsfreeze-status"}', AGENT_TIMEOUT_S);
    if (status !== null && (JSON.parse(status) as { return?: unknown }).return === "frozen") {
      const reason = "Its file systems are frozen, perhaps by a backup tool";
      throw failure("WRONG_STATE", { name, reason, state: "Running" });
    }
    // By default libvirt waits for ever, and an agent that hangs would keep it from everything else, too.
    await domain.agentSetResponseTimeout(AGENT_TIMEOUT_S);
    return await work();
  } catch (error) {
    throw agentError(error, name);
  } finally {
    await domain.agentSetResponseTimeout(AgentTimeout.BLOCK).catch(() => {});
  }
}

function agentError(error: unknown, name: string): unknown {
  const missing = isLibvirt(error, "ARGUMENT_UNSUPPORTED", "AGENT_UNSYNCED");
  const silent = isLibvirt(error, "AGENT_UNRESPONSIVE", "AGENT_COMMAND_TIMEOUT", "AGENT_COMMAND_FAILED");
  return missing || silent
    ? failure("AGENT_MISSING", { name, reason: (error as Error).message }, error)
    : error;
}

/**
 * Lets a guest go on that a take which died has stopped: the file systems that it had frozen thaw, and the processors
 * that it had paused run. A guest that goes on already is left as it is.
 */
export async function letGoOn({ domain, metadata }: Managed): Promise<void> {
  const { consistency, cut, group } = metadata.snapshot ?? {};
  if (consistency === "files" && (await domain.isActive())) {
    // Without an agent there is nothing that could have frozen them.
    await domain.fsThaw().catch(() => {});
  }
  const grouped = group !== undefined && consistency !== undefined;
  const paused = cut !== undefined || grouped || consistency === "memory";
  if (paused && (await domain.getState()).state === DomainState.PAUSED) {
    await domain.resume();
  }
}

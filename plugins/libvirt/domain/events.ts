import type { EngineEvent, EngineState } from "../../../lib/engine/contract.ts";
import { isStrataError } from "../../../lib/errors.ts";
import { merge } from "../../../lib/util/merge.ts";
import { type LibvirtEngine, readManaged } from "../engine.ts";
import { isLibvirt } from "../errors.ts";
import {
  ConnectionLostError,
  type DomainEvent,
  type Gap,
  LifecycleEvent,
  StoppedDetail,
  UndefinedDetail,
} from "../rpc/index.ts";
import { NAMESPACE } from "../xml/metadata.ts";

/**
 * Events of strata's domains, whatever causes them. libvirt has no events for snapshots, but every change of
 * a snapshot begins and ends with a change of the domain's metadata, which has one.
 */
export async function* events(engine: LibvirtEngine, signal: AbortSignal): AsyncGenerator<EngineEvent> {
  const { connection } = engine;
  const end = new AbortController();
  const options = { signal: AbortSignal.any([signal, end.signal]) };
  try {
    const sources: AsyncIterable<Gap | OurEvent>[] = await Promise.all([
      connection.domainEvents("lifecycle", options),
      connection.domainEvents("metadataChange", options),
    ]);
    const ours = new Set<string>();
    for (const { uuid } of await connection.listDomains()) {
      if (await isOurs(engine, uuid)) {
        ours.add(uuid);
      }
    }
    yield { at: Date.now(), kind: "resync" };
    for await (const event of merge(sources)) {
      const at = Date.now();
      if (event.kind === "resync") {
        yield { at, kind: "resync" };
        continue;
      }
      const meaning = await interpret(engine, ours, event).catch((error: unknown) => {
        // What it was about cannot be looked at now; a gap follows, after which everything is compared.
        if (error instanceof ConnectionLostError) {
          return undefined;
        }
        throw error;
      });
      if (meaning !== undefined) {
        yield { at, id: event.dom.uuid, ...meaning };
      }
    }
  } catch (error) {
    if (!signal.aborted) {
      throw error;
    }
  } finally {
    end.abort();
  }
}

type OurEvent = DomainEvent<"lifecycle"> | DomainEvent<"metadataChange">;

type Meaning =
  | { readonly kind: "state"; readonly state: EngineState }
  | { readonly kind: "changed" | "removed" };

/**
 * What an event means; undefined if it means nothing to strata. Updates `ours`, the ids of strata's domains.
 */
async function interpret(
  engine: LibvirtEngine,
  ours: Set<string>,
  event: OurEvent,
): Promise<Meaning | undefined> {
  const id = event.dom.uuid;
  const gone = () => (ours.delete(id) ? ({ kind: "removed" } as const) : undefined);
  if (event.kind === "metadataChange") {
    if (event.nsuri !== NAMESPACE) {
      return undefined;
    }
    // Adopting and releasing a domain change nothing else.
    if (!(await isOurs(engine, id))) {
      return gone();
    }
    ours.add(id);
    return { kind: "changed" };
  }
  if (event.event === LifecycleEvent.UNDEFINED) {
    // Under another name it is still there, and defined in the next moment.
    return event.detail === UndefinedDetail.RENAMED ? undefined : gone();
  }
  if (!ours.has(id) && !(await isOurs(engine, id))) {
    return undefined;
  }
  ours.add(id);
  if (event.event === LifecycleEvent.DEFINED) {
    return { kind: "changed" };
  }
  const state = stateAfter(event);
  return state === undefined ? undefined : { kind: "state", state };
}

async function isOurs(engine: LibvirtEngine, uuid: string): Promise<boolean> {
  try {
    return (await readManaged(engine.connection.domainOfUuid(uuid))) !== undefined;
  } catch (error) {
    // Domains with a record that is too new are not listed either.
    if (isLibvirt(error, "NO_DOMAIN") || isStrataError(error)) {
      return false;
    }
    throw error;
  }
}

/** The state after a lifecycle event; undefined if the event does not determine one. */
function stateAfter({ event, detail }: { event: number; detail: number }): EngineState | undefined {
  switch (event) {
    case LifecycleEvent.STARTED:
    case LifecycleEvent.RESUMED:
      return "running";
    case LifecycleEvent.SUSPENDED:
    case LifecycleEvent.PMSUSPENDED:
      return "suspended";
    case LifecycleEvent.STOPPED:
      return detail === StoppedDetail.SAVED ? "suspended" : "stopped";
    case LifecycleEvent.CRASHED:
      return "stopped";
    default:
      return undefined;
  }
}

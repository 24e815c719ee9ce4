import type { Client } from "./client.ts";
import { EventQueue, type Gap } from "./event-queue.ts";
import type { Frame } from "./frame.ts";
import type { CallLimits } from "./limits.ts";
import { domainEvents } from "./procedures/domain-event.ts";
import { procedures } from "./procedures/index.ts";
import type { DomainHandle } from "./structures.ts";
import { decode, type Type, type Value } from "./xdr.ts";

/** Names of the events of domains, such as "lifecycle". */
export type DomainEventKind = keyof typeof domainEvents;

type FieldsOf<Kind extends DomainEventKind> = Omit<
  Value<(typeof domainEvents)[Kind]["fields"]>,
  "callbackID"
>;

/** An event with its fields under libvirt's names; `dom` is the domain. */
export type DomainEvent<Kind extends DomainEventKind> = { readonly kind: Kind } & FieldsOf<Kind>;

interface Subscription {
  readonly kind: DomainEventKind;
  readonly domain: DomainHandle | null;
  callback: number | undefined;
  push(fields: Record<string, unknown>): void;
  gap(): void;
  end(failure: unknown): void;
}

const byProcedure = new Map<number, DomainEventKind>(
  Object.entries(domainEvents).map(([kind, event]) => [event.procedure, kind as DomainEventKind]),
);

/** The readers of a connection's events, over reconnects. */
export class EventHub {
  private readonly subscriptions = new Set<Subscription>();
  /** An event may come before the reply to the registration that it belongs to. */
  private early: { callback: number; kind: DomainEventKind; fields: Record<string, unknown> }[] = [];
  private registering = 0;
  private readonly onEmpty: () => void;

  /** `onEmpty` hears when the last reader has left. */
  constructor(onEmpty: () => void = () => {}) {
    this.onEmpty = onEmpty;
  }

  get isEmpty(): boolean {
    return this.subscriptions.size === 0;
  }

  /** Takes a message of the daemon; what is no event of a domain is ignored. */
  receive(frame: Frame): void {
    const kind = byProcedure.get(frame.procedure);
    if (kind === undefined) {
      return;
    }
    // Every kind's layout begins with the number of the registration.
    const layout = domainEvents[kind].fields as unknown as Type<
      { callbackID: number } & Record<string, unknown>
    >;
    const { callbackID, ...fields } = decode(layout, frame.payload);
    let heard = false;
    for (const each of this.subscriptions) {
      if (each.callback !== callbackID) {
        continue;
      }
      each.push(fields);
      heard = true;
    }
    if (!heard && this.registering > 0) {
      this.early.push({ callback: callbackID, kind, fields });
    }
  }

  /** Registers with the daemon and returns the events, until the signal or an end of the connection. */
  async subscribe<Kind extends DomainEventKind>(
    client: Client,
    kind: Kind,
    domain: DomainHandle | null,
    limits: CallLimits,
  ): Promise<{
    events: AsyncGenerator<DomainEvent<Kind> | Gap>;
    cancel(client: Client | undefined): Promise<void>;
  }> {
    const queue = new EventQueue<DomainEvent<Kind>>();
    const subscription: Subscription = {
      kind,
      domain,
      callback: undefined,
      // The fields were decoded by the layout of this kind.
      push: (fields) => queue.push({ kind, ...fields } as DomainEvent<Kind>),
      gap: () => queue.push({ kind: "resync" }),
      end: (failure) => queue.end(failure),
    };
    await this.register(client, subscription, limits);
    this.subscriptions.add(subscription);
    return {
      events: queue.read(),
      cancel: async (current) => {
        this.subscriptions.delete(subscription);
        if (this.isEmpty) {
          this.onEmpty();
        }
        queue.end();
        const callbackID = subscription.callback;
        if (current?.isOpen && callbackID !== undefined) {
          await current.call(procedures.connect_domain_event_callback_deregister_any, { callbackID });
        }
      },
    };
  }

  private async register(client: Client, subscription: Subscription, limits: CallLimits): Promise<void> {
    this.registering += 1;
    try {
      const args = { eventID: domainEvents[subscription.kind].id, dom: subscription.domain };
      const { result } = await client.call(
        procedures.connect_domain_event_callback_register_any,
        args,
        limits,
      );
      subscription.callback = result.callbackID;
      for (const event of this.early) {
        if (event.callback === result.callbackID) {
          subscription.push(event.fields);
        }
      }
    } finally {
      this.registering -= 1;
      if (this.registering === 0) {
        this.early = [];
      }
    }
  }

  /** Registers every reader with a new connection and tells each that events may have been lost. */
  async resume(client: Client): Promise<void> {
    for (const subscription of this.subscriptions) {
      await this.register(client, subscription, {});
      subscription.gap();
    }
  }

  /** Ends every reader. */
  end(failure?: unknown): void {
    for (const subscription of this.subscriptions) {
      subscription.end(failure);
    }
    this.subscriptions.clear();
    this.onEmpty();
  }
}

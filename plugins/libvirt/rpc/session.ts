import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "./client.ts";
import { ConnectionLostError } from "./errors.ts";
import { EventHub } from "./events.ts";
import type { CallLimits } from "./limits.ts";
import { openClient } from "./link.ts";
import { Opening } from "./opening.ts";
import { type ArgumentsOf, type ProcedureName, procedures, type ResultOf } from "./procedures/index.ts";

export interface ConnectOptions {
  /** The daemon refuses changes. */
  readonly readOnly?: boolean;
  /** Gives up the first connecting; it does not end the connection later. */
  readonly signal?: AbortSignal;
  /** Limit of each call that has none of its own, ms; none by default. */
  readonly timeout?: number;
}

/** How long a lost connection with readers of events is tried anew, each time twice as long after, ms. */
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 10_000;
/** How long the daemon may take to say goodbye, ms. */
const CLOSING_MS = 2000;

/** What a `Connection` stands on: one client after the other, calls by name, readers of events. */
export class Session implements AsyncDisposable {
  readonly uri: string;
  protected readonly options: ConnectOptions;
  protected readonly hub = new EventHub(() => this.retrying?.abort());
  private opening: Opening | undefined;
  private client: Client | undefined;
  private closed = false;
  /** Ends the wait between two attempts to reach the daemon again, once there is nobody to wait for. */
  private retrying: AbortController | undefined;

  constructor(uri: string, options: ConnectOptions = {}) {
    this.uri = uri;
    this.options = options;
  }

  /** The client that is open now, if there is one. */
  protected get openedClient(): Client | undefined {
    return this.client?.isOpen ? this.client : undefined;
  }

  /**
   * The open client, connecting if there is none. Calls that find none share one attempt; one that is
   * cancelled or runs out of time leaves it to the others.
   */
  async open(limits: CallLimits = {}): Promise<Client> {
    limits.signal?.throwIfAborted();
    if (this.closed) {
      throw new ConnectionLostError("the connection was closed");
    }
    if (this.openedClient !== undefined) {
      return this.openedClient;
    }
    if (this.opening === undefined || this.opening.isOver) {
      this.opening = new Opening((signal) => this.reopen(signal));
    }
    return this.opening.wait(limits);
  }

  private async reopen(signal: AbortSignal): Promise<Client> {
    const client = await openClient(
      {
        uri: this.uri,
        readOnly: this.options.readOnly === true,
        onEvent: (frame) => this.hub.receive(frame),
      },
      signal,
    );
    if (signal.aborted || this.closed) {
      const reason = new ConnectionLostError("the connection was given up while it was opened");
      client.end(reason);
      throw reason;
    }
    this.client = client;
    try {
      await this.hub.resume(client);
    } catch (error) {
      // Open but without its readers, it would keep the next attempt from registering them.
      client.end(new ConnectionLostError("the readers of events could not be registered", { cause: error }));
      throw error;
    }
    void client.closed.then(() => this.recover());
    return client;
  }

  /** Readers of events do not call, so a lost connection is made anew for them. */
  private async recover(): Promise<void> {
    for (
      let wait = FIRST_RETRY_MS;
      !this.closed && !this.hub.isEmpty;
      wait = Math.min(wait * 2, LAST_RETRY_MS)
    ) {
      try {
        await this.open();
        return;
      } catch {
        this.retrying = new AbortController();
        // While somebody reads events, the process must not end for want of anything else to do.
        await delay(wait, undefined, { signal: this.retrying.signal }).catch(() => {});
      }
    }
  }

  /** Limits of a call, with the connection's own where the call has none. */
  limitsOf(limits: CallLimits): CallLimits {
    const { timeout } = this.options;
    return timeout === undefined ? limits : { timeout, ...limits };
  }

  /**
   * Calls any procedure of the table by libvirt's name for it.
   * Rejects with LibvirtError when the daemon refuses, ConnectionLostError, CallTimeoutError or the
   * signal's reason; with RangeError for arguments that the protocol cannot carry.
   */
  async call<Name extends ProcedureName>(
    name: Name,
    args: ArgumentsOf<Name>,
    limits: CallLimits = {},
  ): Promise<ResultOf<Name>> {
    const all = this.limitsOf(limits);
    const client = await this.open(all);
    // Name ties the arguments to the result; TypeScript does not follow it through the table's union.
    const procedure = procedures[name] as unknown as Parameters<
      typeof client.call<ArgumentsOf<Name>, ResultOf<Name>>
    >[0];
    return (await client.call(procedure, args, all)).result;
  }

  /** A second connection of the same kind, for what would hold up this one. */
  async sibling(limits: CallLimits = {}): Promise<Session> {
    const session = new Session(this.uri, this.options);
    await session.open(this.limitsOf(limits));
    return session;
  }

  /** Closes for good; readers of events end. */
  async close(): Promise<void> {
    if (this.closed) {
      return;
    }
    this.closed = true;
    this.hub.end();
    const client = this.openedClient;
    if (client === undefined) {
      return;
    }
    await client.call(procedures.connect_close, {}, { timeout: CLOSING_MS }).catch(() => {
      // The daemon may have gone first; closed is closed.
    });
    client.end(new ConnectionLostError("the connection was closed"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

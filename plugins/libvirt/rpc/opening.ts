import type { Client } from "./client.ts";
import { type CallLimits, within } from "./limits.ts";

/** One attempt to connect, for all calls that need it. It is given up once none of them waits any more. */
export class Opening {
  private readonly controller = new AbortController();
  private readonly client: Promise<Client>;
  private waiting = 0;
  private settled = false;

  constructor(open: (signal: AbortSignal) => Promise<Client>) {
    this.client = open(this.controller.signal);
    const settle = () => {
      this.settled = true;
    };
    this.client.then(settle, settle);
  }

  /** True when whoever asks next needs another attempt. */
  get isOver(): boolean {
    return this.settled || this.controller.signal.aborted;
  }

  /** The open client. A caller that gives up takes it from no other. */
  async wait(limits: CallLimits): Promise<Client> {
    this.waiting += 1;
    try {
      return await within(this.client, limits);
    } finally {
      this.waiting -= 1;
      if (this.waiting === 0 && !this.settled) {
        this.controller.abort();
      }
    }
  }
}

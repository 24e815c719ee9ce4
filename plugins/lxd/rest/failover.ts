import { failure } from "../../../lib/errors.ts";
import type { Endpoint } from "./endpoint.ts";
import { LxdConnectionError } from "./errors.ts";

/** The endpoints of one server. */
export interface Failover {
  /** The endpoint that is used now. */
  readonly current: () => Endpoint;
  /** Tries one endpoint after the other until one is reached; what was sent is never sent twice. */
  readonly reach: <T>(work: (endpoint: Endpoint) => Promise<T>) => Promise<T>;
}

export function failover(endpoints: readonly Endpoint[]): Failover {
  let at = 0;
  const current = (): Endpoint => {
    const endpoint = endpoints[at];
    if (endpoint === undefined) {
      throw failure("INTERNAL", { reason: "a client without a server" });
    }
    return endpoint;
  };
  return {
    current,
    async reach(work) {
      for (let attempt = 1; ; attempt++) {
        try {
          return await work(current());
        } catch (error) {
          if (!(error instanceof LxdConnectionError) || error.lost || attempt >= endpoints.length) {
            throw error;
          }
          at = (at + 1) % endpoints.length;
        }
      }
    },
  };
}

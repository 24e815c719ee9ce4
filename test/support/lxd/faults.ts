import type { InjectedFault } from "../../../lib/engine/conformance/fixture.ts";
import type { Client } from "../../../plugins/lxd/rest/client.ts";
import { LxdError } from "../../../plugins/lxd/rest/errors.ts";

type How = "fail" | "die";

export interface FaultyClient {
  wrap(client: Client): Client;
  /** A step is a change that is asked of LXD; who is to die does so before one, or while LXD is at it. */
  fault(step: number, how: How): InjectedFault;
}

/** A client that fails at a change, or from then on at everything, as if its process was killed. */
export function faultyClient(): FaultyClient {
  let planned: { left: number; how: How; struck: boolean } | undefined;
  const strikes = (...how: How[]): boolean => {
    if (planned === undefined || planned.struck || !how.includes(planned.how)) {
      return false;
    }
    planned.left -= 1;
    planned.struck = planned.left === 0;
    return planned.struck;
  };
  // Unlike one that was killed, this process may be told what its last request has come to.
  let last: Promise<unknown> = Promise.resolve();
  const alive = async () => {
    if (planned?.struck === true && planned.how === "die") {
      throw new Error("the process was killed");
    }
    await last.catch(() => {});
  };
  return {
    wrap: (client) => ({
      ...client,
      get: async (...call) => {
        await alive();
        return client.get(...call);
      },
      async run(method, path, body, options) {
        await alive();
        if (strikes("fail", "die")) {
          throw new LxdError(0, "a fault that a test has planned");
        }
        if (!strikes("die")) {
          return client.run(method, path, body, options);
        }
        last = client.run(method, path, body, options);
        last.catch(() => {});
        throw new Error("the process was killed");
      },
      [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
    }),
    fault(step, how) {
      const fault = { left: step, how, struck: false };
      planned = fault;
      return {
        get struck() {
          return fault.struck;
        },
        [Symbol.dispose]() {
          planned = undefined;
        },
      };
    },
  };
}

import { failure } from "../errors.ts";

/** A port of this host and the one of an instance that it leads to. */
export interface ForwardSpec {
  readonly address: string;
  readonly port: number;
  readonly to: number;
}

/** Reads `[[ADDRESS:]PORT:]PORT`; an IPv6 address is in brackets. */
export function parseForward(text: string): ForwardSpec {
  const [, six, four, port, to] = /^(?:(?:(?:\[([^\]]+)\]|([^:[\]]+)):)?(\d+):)?(\d+)$/.exec(text) ?? [];
  if (to === undefined) {
    throw failure("INVALID_VALUE", {
      what: "a port to forward",
      value: text,
      reason: "must be PORT, PORT:PORT or ADDRESS:PORT:PORT, the port of the instance last",
    });
  }
  return { address: six ?? four ?? "127.0.0.1", port: Number(port ?? to), to: Number(to) };
}

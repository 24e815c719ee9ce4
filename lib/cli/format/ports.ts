import type { ForwardSpec } from "../forward-spec.ts";
import type { KeptPort } from "../kept-port.ts";
import { columns, csvLines } from "./cell.ts";
import { type Format, json, yaml } from "./format.ts";

/** An address with its port, as `port forward` reads it. */
export function placeOf({ address, port }: Pick<ForwardSpec, "address" | "port">): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Forwarded ports in a line each. */
export function formatPorts(ports: readonly KeptPort[], format: Format): string {
  const plain = ports.map(({ instance, address, port, to }) => ({ instance, address, port, to }));
  switch (format) {
    case "json":
      return json({ ports: plain });
    case "yaml":
      return yaml(plain);
    case "csv":
      return csvLines([
        ["Instance", "Address", "Port", "To"],
        ...plain.map(({ instance, address, port, to }) => [instance, address, String(port), String(to)]),
      ]);
    case "table":
      return ports.length === 0
        ? "No forwarded ports are kept.\n"
        : columns([
            ["Instance", "Here", "There"],
            ...ports.map((kept) => [kept.instance, placeOf(kept), String(kept.to)]),
          ]);
  }
}

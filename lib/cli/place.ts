import { failure } from "../errors.ts";

/** `HOST:NAME`, where the host may be an address with colons and the name may be missing. */
export function parsePlace(
  place: string,
  otherwise: string,
): { readonly host: string; readonly name: string } {
  const at = place.lastIndexOf(":");
  const [host, name] = [place.slice(0, at), place.slice(at + 1)];
  if (at < 1 || !/^[A-Za-z0-9-]*$/.test(name) || host.endsWith("/")) {
    const reason = `must be HOST: or HOST:NAME, where HOST is a context or an address; ${otherwise}`;
    throw failure("INVALID_VALUE", { what: "the target", value: place, reason });
  }
  return { host, name };
}

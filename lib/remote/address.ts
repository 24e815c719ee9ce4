import { failure, type StrataError } from "../errors.ts";

/** Another host, as ssh is given it. */
export interface Address {
  /** Undefined for the user that ssh would take. */
  readonly user: string | undefined;
  /** A name, also one of ssh's own configuration, or an address; never with brackets. */
  readonly host: string;
  /** Undefined for the port that ssh would take. */
  readonly port: number | undefined;
}

const FORM =
  /^ssh:\/\/(?:(?<user>[^@/]*)@)?(?:\[(?<ipv6>[^\]/]*)\]|(?<name>[^:@/[\]]*))(?::(?<port>\d*))?\/?$/;
/** Neither begins with a hyphen: ssh would read an option, and one of its options runs programs. */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,252}$/;
const IPV6 = /^[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9._-]{1,32})?$/;
const PORT = { lowest: 1, highest: 65_535 };

/** True for what is meant as an address and not as the name of a context. */
export function isAddress(text: string): boolean {
  return text.includes("/") || text.includes(":") || text.includes("@");
}

/** Reads `ssh://[USER@]HOST[:PORT]`; throws INVALID_VALUE for everything else. */
export function parseAddress(text: string): Address {
  const { user, ipv6, name, port } = FORM.exec(text)?.groups ?? {};
  const host = ipv6 ?? name;
  if (host === undefined) {
    throw invalid(text, "must be ssh://HOST, ssh://USER@HOST or ssh://USER@HOST:PORT");
  }
  if (user?.includes(":")) {
    throw invalid(withoutPassword(text), "must have no password: ssh asks for it, or uses a key");
  }
  if (user !== undefined && !NAME.test(user)) {
    throw invalid(text, "its user must be letters, digits, dots, _ and -, and must not begin with -");
  }
  if (!(ipv6 === undefined ? NAME : IPV6).test(host)) {
    throw invalid(text, "its host must be a name or an address, and must not begin with -");
  }
  return { user, host, port: port === undefined ? undefined : parsePort(text, port) };
}

function parsePort(text: string, port: string): number {
  const number = Number(port);
  if (port === "" || number < PORT.lowest || number > PORT.highest) {
    throw invalid(text, `its port must be from ${PORT.lowest} to ${PORT.highest}`);
  }
  return number;
}

/** The address as it is read by `parseAddress`. */
export function formatAddress({ user, host, port }: Address): string {
  const name = host.includes(":") ? `[${host}]` : host;
  return `ssh://${user === undefined ? "" : `${user}@`}${name}${port === undefined ? "" : `:${port}`}`;
}

function withoutPassword(text: string): string {
  return text.replace(/:[^@/]*@/, ":…@");
}

function invalid(value: string, reason: string): StrataError {
  return failure("INVALID_VALUE", { what: "a host", value, reason });
}

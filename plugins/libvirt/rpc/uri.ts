/** Where a libvirt URI leads. */
export interface Target {
  /** What `connect_open` gets: the URI without transport and host. */
  readonly driver: string;
  readonly session: boolean;
  /** A socket named by the URI itself. */
  readonly socket: string | undefined;
  readonly ssh: { readonly host: string; readonly user: string; readonly port: string } | undefined;
}

/**
 * Reads a URI such as `qemu:///system`, `qemu+unix:///session?socket=/path` or
 * `qemu+ssh://user@host:port/system`. Throws a TypeError for what this binding cannot reach.
 */
export function parseUri(uri: string): Target {
  const url = new URL(uri);
  const [scheme = "", transport] = url.protocol.slice(0, -1).split("+");
  const path = url.pathname === "" ? "/" : url.pathname;
  const driver = `${scheme}://${path}`;
  const session = path === "/session";
  const socket = url.searchParams.get("socket") ?? undefined;
  if (transport === "ssh") {
    if (url.hostname === "") {
      throw new TypeError(`${uri} names no host`);
    }
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const user = decodeURIComponent(url.username);
    // One that begins with a dash would be an option of ssh.
    if (host.startsWith("-") || user.startsWith("-")) {
      throw new TypeError(`${uri} has a host or user that begins with a dash`);
    }
    const ssh = { host, user, port: url.port };
    return { driver, session, socket, ssh };
  }
  if (transport !== undefined && transport !== "unix") {
    throw new TypeError(`${uri}: the transport "${transport}" is not supported, only unix and ssh are`);
  }
  if (url.host !== "") {
    throw new TypeError(`${uri} names a host, which needs +ssh`);
  }
  return { driver, session, socket, ssh: undefined };
}

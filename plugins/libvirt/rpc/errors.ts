import { ERROR_CODES, ERROR_DOMAINS } from "./error-codes.ts";

/** An error that libvirt's daemon reported. */
export class LibvirtError extends Error {
  /** VIR_ERR_*, such as 42. */
  readonly code: number;
  /** Its name without the prefix, such as "NO_DOMAIN". */
  readonly codeName: string;
  /** VIR_FROM_*, the part of libvirt that reports it. */
  readonly domain: number;
  readonly domainName: string;
  /** 1 warning, 2 error. */
  readonly level: number;

  constructor(o: { code: number; domain: number; level: number; message: string | null }) {
    super(o.message ?? "libvirt gave no message");
    this.code = o.code;
    this.codeName = ERROR_CODES[o.code] ?? `ERROR_${o.code}`;
    this.domain = o.domain;
    this.domainName = ERROR_DOMAINS[o.domain] ?? `DOMAIN_${o.domain}`;
    this.level = o.level;
  }

  static {
    Object.defineProperty(LibvirtError.prototype, "name", { value: "LibvirtError", configurable: true });
  }
}

/**
 * The connection ended while a call was under way, or could not be made. Whether a call that was under
 * way took effect is not known: look before doing it again.
 */
export class ConnectionLostError extends Error {
  /** True where no daemon listens on this host, and none is installed that could be started. */
  readonly notInstalled: boolean;

  constructor(message: string, options: ErrorOptions & { readonly notInstalled?: true } = {}) {
    super(message, options);
    this.notInstalled = options.notInstalled === true;
  }

  static {
    Object.defineProperty(ConnectionLostError.prototype, "name", {
      value: "ConnectionLostError",
      configurable: true,
    });
  }
}

/** A call took longer than its limit. The daemon may still be at it. */
export class CallTimeoutError extends Error {
  /** ms. */
  readonly limit: number;

  constructor(message: string, limit: number) {
    super(message);
    this.limit = limit;
  }

  static {
    Object.defineProperty(CallTimeoutError.prototype, "name", {
      value: "CallTimeoutError",
      configurable: true,
    });
  }
}

/** The message of whatever was thrown. The binding imports nothing of strata. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

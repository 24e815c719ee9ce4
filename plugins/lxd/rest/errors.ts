/** An error that the server answered. `status` is HTTP's; 0 for a failed operation. */
export class LxdError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }

  static {
    Object.defineProperty(LxdError.prototype, "name", { value: "LxdError", configurable: true });
  }
}

/** The server could not be reached, or the connection to it broke. */
export class LxdConnectionError extends Error {
  /** True if it broke after something was sent, so that the request may have been carried out. */
  readonly lost: boolean;

  constructor(message: string, lost: boolean, cause: unknown) {
    super(message, { cause });
    this.lost = lost;
  }

  static {
    Object.defineProperty(LxdConnectionError.prototype, "name", {
      value: "LxdConnectionError",
      configurable: true,
    });
  }
}

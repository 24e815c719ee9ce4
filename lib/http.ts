import { failure, isStrataError } from "./errors.ts";

/** What errors and records may show of a URL: neither a password nor a token. */
export function publicName(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

/** fetch takes no URL with a name and password in it; a redirect to another host does not get the header. */
export function withoutLogin(url: URL, headers: Headers): URL {
  if (url.username === "" && url.password === "") return url;
  const login = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  headers.set("authorization", `Basic ${Buffer.from(login).toString("base64")}`);
  const bare = new URL(url);
  bare.username = "";
  bare.password = "";
  return bare;
}

/** What went wrong, as its innermost cause tells it: fetch itself only says that it failed. */
export function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}

export interface FetchTextOptions {
  /** A longer text is refused, bytes. */
  readonly limit: number;
  /** For all of it, ms. */
  readonly timeout: number;
  readonly signal: AbortSignal;
}

/**
 * Gets a text. Follows redirects, but none from https to http. Rejects with DOWNLOAD_FAILED, also for a
 * text that is too long or no UTF-8, and with CANCELLED.
 */
export async function fetchText(url: URL, { limit, timeout, signal }: FetchTextOptions): Promise<string> {
  const failed = (reason: string, cause?: unknown) =>
    failure("DOWNLOAD_FAILED", { url: publicName(url), reason }, cause);
  const late = AbortSignal.timeout(timeout);
  try {
    const headers = new Headers();
    const target = withoutLogin(url, headers);
    const response = await fetch(target, { headers, signal: AbortSignal.any([signal, late]) });
    if (!response.ok || downgraded(url, response)) {
      await response.body?.cancel();
      throw failed(
        response.ok
          ? "it redirects to a URL without encryption"
          : `the server answered ${response.status} ${response.statusText}`.trim(),
      );
    }
    const pieces: Uint8Array[] = [];
    let length = 0;
    for await (const piece of response.body ?? []) {
      length += piece.length;
      if (length > limit) throw failed(`it is longer than ${limit} bytes`);
      pieces.push(piece);
    }
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(pieces));
  } catch (error) {
    if (isStrataError(error)) throw error;
    if (signal.aborted) throw failure("CANCELLED", {}, error);
    throw failed(late.aborted ? `it did not come within ${timeout / 1000} s` : reasonOf(error), error);
  }
}

function downgraded(url: URL, response: Response): boolean {
  return url.protocol === "https:" && !response.url.startsWith("https:");
}

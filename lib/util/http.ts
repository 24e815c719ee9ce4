import { failure, isStrataError } from "../errors.ts";

/** A URL as errors and records may show it: without password and token. */
export function publicName(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

/**
 * fetch does not accept a URL with a name and password; a redirect to another host does not get the header.
 */
export function withoutLogin(url: URL, headers: Headers): URL {
  if (url.username === "" && url.password === "") {
    return url;
  }
  const login = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  headers.set("authorization", `Basic ${Buffer.from(login).toString("base64")}`);
  const bare = new URL(url);
  bare.username = "";
  bare.password = "";
  return bare;
}

/** The reason of a failure from its innermost cause; fetch itself only says that it failed. */
export function innermostReason(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}

export interface FetchOptions {
  /** Longest response, bytes. */
  readonly limit: number;
  /** Time-out for the whole request, ms. */
  readonly timeout: number;
  readonly signal: AbortSignal;
}

/** Gets a text; see `fetchBytes`. Rejects with DOWNLOAD_FAILED also if it is not UTF-8. */
export async function fetchText(url: URL, options: FetchOptions): Promise<string> {
  const bytes = await fetchBytes(url, options);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw failure("DOWNLOAD_FAILED", { url: publicName(url), reason: innermostReason(error) }, error);
  }
}

/**
 * Gets a short response. Follows redirects, but none from https to http. Rejects with DOWNLOAD_FAILED, also
 * if it is too long, and with CANCELLED.
 */
export async function fetchBytes(url: URL, { limit, timeout, signal }: FetchOptions): Promise<Buffer> {
  const failed = (reason: string, cause?: unknown) =>
    failure("DOWNLOAD_FAILED", { url: publicName(url), reason }, cause);
  const late = AbortSignal.timeout(timeout);
  try {
    const response = await follow(url, AbortSignal.any([signal, late]), failed);
    if (!response.ok) {
      await response.body?.cancel();
      throw failed(`the server answered ${response.status} ${response.statusText}`.trim());
    }
    const pieces: Uint8Array[] = [];
    let length = 0;
    for await (const piece of response.body ?? []) {
      length += piece.length;
      if (length > limit) {
        throw failed(`the text must be at most ${limit} bytes`);
      }
      pieces.push(piece);
    }
    return Buffer.concat(pieces);
  } catch (error) {
    if (isStrataError(error)) {
      throw error;
    }
    if (signal.aborted) {
      throw failure("CANCELLED", {}, error);
    }
    throw failed(
      late.aborted ? `no complete answer within ${timeout / 1000} s` : innermostReason(error),
      error,
    );
  }
}

/** Maximum number of redirects, as in fetch itself. */
const REDIRECTS = 20;

/**
 * The response after all redirects. Each redirect is checked before it is followed: a single step without
 * encryption would let an attacker redirect anywhere.
 */
async function follow(url: URL, signal: AbortSignal, failed: (reason: string) => Error): Promise<Response> {
  const headers = new Headers();
  let target = withoutLogin(url, headers);
  for (let step = 0; step <= REDIRECTS; step += 1) {
    const response = await fetch(target, { headers, signal, redirect: "manual" });
    const location = response.headers.get("location");
    if (location === null || ![301, 302, 303, 307, 308].includes(response.status)) {
      return response;
    }
    await response.body?.cancel();
    if (!URL.canParse(location, target.href)) {
      throw failed("it redirects to an invalid URL");
    }
    const next = new URL(location, target);
    if (!/^https?:$/.test(next.protocol)) {
      throw failed(`it redirects to ${next.protocol}`);
    }
    if (url.protocol === "https:" && next.protocol === "http:") {
      throw failed("it redirects to an unencrypted URL");
    }
    if (next.origin !== target.origin) {
      headers.delete("authorization");
    }
    target = next;
  }
  throw failed(`it redirects more than ${REDIRECTS} times`);
}

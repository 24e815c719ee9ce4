import { readFile } from "node:fs/promises";
import { z } from "zod";
import { failure } from "../../errors.ts";
import { readOwn } from "../../util/own-files.ts";

/** A server that publishes images as simplestreams. */
export interface Remote {
  readonly name: string;
  /** Ends with a slash; `streams/v1/index.json` is below it. */
  readonly url: URL;
  /** The default user that its guests get. */
  readonly username: string;
}

/** Default user of guests whose remote does not name one. */
export const USERNAME = "ubuntu";

/** The remote whose images can be named without it. */
export const DEFAULT_REMOTE = "release";

interface Named {
  readonly url: string;
  readonly username?: string;
}

/** Where the built-in remotes are, unless a mirror is set. */
const OFFICIAL = "https://cloud-images.ubuntu.com/";

/** The built-in remotes, below a URL that ends with a slash. */
function builtIn(base: string): Record<string, Named> {
  return {
    [DEFAULT_REMOTE]: { url: new URL("releases/", base).href },
    daily: { url: new URL("daily/", base).href },
  };
}

/** Why a URL cannot be that of a mirror of the built-in remotes; undefined if it can. */
export function mirrorRefusal(text: string): string | undefined {
  const parsed = text === "" ? undefined : url.safeParse(text);
  if (parsed === undefined || parsed.success) {
    return undefined;
  }
  return parsed.error.issues[0]?.message ?? "must be a URL";
}

const url = z.url({ protocol: /^https?$/ }).refine(isPrivate, "must be https, or http to this host itself");

const shape = z.record(
  z
    .string()
    .regex(
      /^[a-z][a-z0-9-]{0,31}$/,
      "the name of a remote must begin with a lower-case letter, followed by lower-case letters, digits and hyphens",
    ),
  z.strictObject({
    url,
    username: z
      .string()
      .regex(/^[a-z_][a-z0-9_-]{0,31}$/, "must be a valid user name")
      .default(USERNAME),
  }),
);

/**
 * The remotes: the built-in ones, from their mirror if one is set, the default one first; then those of the user's
 * file, which may also replace built-in ones. A missing file is valid; rejects with INVALID_VALUE for an invalid one.
 */
export async function readRemotes(path: string, mirror = ""): Promise<Remote[]> {
  const text = (await readOwn(path, () => readFile(path, "utf8"))) ?? "{}";
  const named: Record<string, Named> = {
    ...builtIn(slashed(mirror === "" ? OFFICIAL : mirror)),
    ...parse(path, text),
  };
  return Object.entries(named).map(([name, { url, username = USERNAME }]) => ({
    name,
    url: new URL(slashed(url)),
    username,
  }));
}

function slashed(text: string): string {
  return text.endsWith("/") ? text : `${text}/`;
}

function parse(path: string, text: string): Record<string, Named> {
  try {
    return shape.parse(JSON.parse(text));
  } catch (error) {
    const [issue] = error instanceof z.ZodError ? error.issues : [];
    const reason = issue === undefined ? "must be valid JSON" : `${issue.path.join(".")}: ${issue.message}`;
    throw failure("INVALID_VALUE", { what: "the file of remotes", value: path, reason }, error);
  }
}

/** The catalogue authenticates the images, so it must not be modifiable on the way. */
function isPrivate(text: string): boolean {
  // That it is no URL at all is told by another check.
  if (!URL.canParse(text)) {
    return true;
  }
  const { protocol, hostname } = new URL(text);
  return protocol === "https:" || /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}

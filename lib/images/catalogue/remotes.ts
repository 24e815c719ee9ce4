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

const BUILT_IN: Readonly<Record<string, Named>> = {
  [DEFAULT_REMOTE]: { url: "https://cloud-images.ubuntu.com/releases/" },
  daily: { url: "https://cloud-images.ubuntu.com/daily/" },
};

const shape = z.record(
  z
    .string()
    .regex(
      /^[a-z][a-z0-9-]{0,31}$/,
      "the name of a remote must begin with a lower-case letter, followed by lower-case letters, digits and hyphens",
    ),
  z.strictObject({
    url: z.url({ protocol: /^https?$/ }).refine(isPrivate, "must be https, or http to this host itself"),
    username: z
      .string()
      .regex(/^[a-z_][a-z0-9_-]{0,31}$/, "must be a valid user name")
      .default(USERNAME),
  }),
);

/**
 * The remotes: the built-in ones, the default one first, then those of the user's file, which may also
 * replace built-in ones. A missing file is valid; rejects with INVALID_VALUE for an invalid one.
 */
export async function readRemotes(path: string): Promise<Remote[]> {
  const text = (await readOwn(path, () => readFile(path, "utf8"))) ?? "{}";
  const named: Record<string, Named> = { ...BUILT_IN, ...parse(path, text) };
  return Object.entries(named).map(([name, { url, username = USERNAME }]) => ({
    name,
    url: new URL(url.endsWith("/") ? url : `${url}/`),
    username,
  }));
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
  const { protocol, hostname } = new URL(text);
  return protocol === "https:" || /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}

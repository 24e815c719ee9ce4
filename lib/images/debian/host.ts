import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { failure } from "../../errors.ts";

/** The Debian release of the host's apt sources. */
export interface HostRelease {
  /** Codename, such as "bookworm". */
  readonly suite: string;
  /** Number, such as "12"; the codename where there is none yet. */
  readonly release: string;
}

/** Reads the text of /etc/os-release; UNSUPPORTED when it is not Debian's. */
export function parseRelease(text: string): HostRelease {
  const field = (key: string) => new RegExp(`^${key}=["']?([^"'\\n]*)["']?$`, "m").exec(text)?.[1] ?? "";
  const suite = field("VERSION_CODENAME");
  if (field("ID") !== "debian" || suite === "") {
    throw failure("UNSUPPORTED", {
      what: "building a Debian image",
      engine: "this host",
      reason: "its apt sources are not Debian's",
    });
  }
  return { suite, release: field("VERSION_ID") || suite };
}

export async function hostRelease(): Promise<HostRelease> {
  if (process.arch !== "x64") {
    throw failure("UNSUPPORTED", {
      what: "building a Debian image",
      engine: "this host",
      reason: `its processor is ${process.arch}, and the image's boot loader is for x86-64`,
    });
  }
  return parseRelease(await readFile("/etc/os-release", "utf8").catch(() => ""));
}

/** Files of apt sources that the host itself uses. */
export async function aptSources(): Promise<string[]> {
  const folder = "/etc/apt/sources.list.d";
  const files = await readdir(folder).catch(() => []);
  const found = files
    .filter((file) => /^debian\.(sources|list)$/.test(file))
    .map((file) => join(folder, file));
  if (found.length > 0) {
    return found;
  }
  const classic = await readFile("/etc/apt/sources.list", "utf8").catch(() => "");
  if (/^deb\s/m.test(classic)) {
    return ["/etc/apt/sources.list"];
  }
  throw failure("FILE_NOT_FOUND", { path: `${folder}/debian.sources` });
}

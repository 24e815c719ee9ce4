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

/** Releases that can be built on a host of any of them, newest last. */
const RELEASES: readonly HostRelease[] = [
  { suite: "bookworm", release: "12" },
  { suite: "trixie", release: "13" },
];

/** The release that a codename or a number means. Throws INVALID_VALUE. */
export function chooseRelease(wanted: string, host: HostRelease): HostRelease {
  const name = wanted.toLowerCase();
  const found = [host, ...RELEASES].find(({ suite, release }) => name === suite || name === release);
  if (found === undefined) {
    const names = RELEASES.map(({ suite, release }) => `${suite} (${release})`).join(" or ");
    throw failure("INVALID_VALUE", { what: "the release", value: wanted, reason: `must be ${names}` });
  }
  return found;
}

/**
 * Apt sources of one release as those of another, from the same mirror: its name is replaced where suites are
 * listed, also in `bookworm-security`.
 */
export function sourcesFor(text: string, from: string, to: string): string {
  return text
    .split("\n")
    .map((line) =>
      /^(?:Suites:|\s*deb(?:-src)?\s)/.test(line)
        ? line.replace(new RegExp(`(^|[\\s])${from}(?=$|[\\s-])`, "g"), `$1${to}`)
        : line,
    )
    .join("\n");
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

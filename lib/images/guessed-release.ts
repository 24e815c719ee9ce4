/** What an image's file name says about the system in it; "" for what it does not say. */
export interface GuessedRelease {
  readonly os: string;
  readonly release: string;
}

const CODENAMES: Readonly<Record<string, GuessedRelease>> = {
  bullseye: { os: "Debian", release: "11" },
  bookworm: { os: "Debian", release: "12" },
  trixie: { os: "Debian", release: "13" },
  focal: { os: "Ubuntu", release: "20.04" },
  jammy: { os: "Ubuntu", release: "22.04" },
  noble: { os: "Ubuntu", release: "24.04" },
  plucky: { os: "Ubuntu", release: "25.04" },
  questing: { os: "Ubuntu", release: "25.10" },
};

const SYSTEMS: readonly (readonly [pattern: RegExp, os: string])[] = [
  [/\bdebian\b/, "Debian"],
  [/\bubuntu\b/, "Ubuntu"],
  [/\bfedora\b/, "Fedora"],
  [/\bcentos[ -]stream\b/, "CentOS Stream"],
  [/\bcentos\b/, "CentOS"],
  [/\brocky\b/, "Rocky Linux"],
  [/\balmalinux\b/, "AlmaLinux"],
  [/\brhel\b/, "RHEL"],
  [/\bopensuse\b/, "openSUSE"],
  [/\balpine\b/, "Alpine Linux"],
  [/\barch(linux)?\b/, "Arch Linux"],
];

/** Guesses from a name such as `debian-12-genericcloud-amd64.qcow2` or `jammy-server-cloudimg-amd64.img`. */
export function guessRelease(fileName: string): GuessedRelease {
  const name = fileName
    .toLowerCase()
    .replace(/x86[_-]64/, "")
    .replaceAll("_", "-");
  const words = name.split(/[^a-z0-9]+/);
  const codename = words.map((word) => CODENAMES[word]).find((found) => found !== undefined);
  if (codename !== undefined) {
    return codename;
  }
  const system = SYSTEMS.find(([pattern]) => pattern.test(name));
  if (system === undefined) {
    return { os: "", release: "" };
  }
  const [pattern, os] = system;
  const behind = name.slice((pattern.exec(name)?.index ?? 0) + 1);
  // The first number after the system's name that is not a date.
  const numbers = behind.matchAll(/(?<![a-z0-9.])\d{1,2}(\.\d{1,2}){0,2}(?![a-z0-9]|\.\d)/g);
  return { os, release: [...numbers][0]?.[0] ?? "" };
}

/** What ssh(1) needs to log in to a guest as strata does. */
export interface SshHost {
  /** What ssh is told to connect to, a name that no machine has: `web.strata`. */
  readonly alias: string;
  /** Name of the engine that has the instance. */
  readonly engine: string;
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly identityFile: string;
  readonly knownHostsFile: string;
}

/** A host key that is pinned, `type base64`, by the alias. */
export interface KnownHost {
  readonly alias: string;
  readonly engine: string;
  readonly hostKey: string;
}

/**
 * The name of an instance's guest for ssh. No instance and no ordinary host is called so. ssh refuses spaces and
 * parentheses in the name of a host, so `Windows 11` is `Windows-11.strata`.
 */
export function aliasOf(instance: string): string {
  return `${instance.replace(/[^\p{L}\p{M}\p{N}._-]/gu, "-")}.strata`;
}

/** The options of a login by their names, in the order of ssh_config(5). */
export function sshOptions(host: SshHost): readonly (readonly [key: string, value: string])[] {
  return [
    ["HostName", host.host],
    ["Port", String(host.port)],
    ["User", host.username],
    ["IdentityFile", path(host.identityFile)],
    ["IdentitiesOnly", "yes"],
    // The address may have been another guest's: the key goes by the instance.
    ["HostKeyAlias", host.alias],
    ["UserKnownHostsFile", path(host.knownHostsFile)],
    ["StrictHostKeyChecking", "yes"],
    ["UpdateHostKeys", "no"],
  ];
}

/** A path in the words of ssh's configuration, where % begins a token. */
function path(text: string): string {
  const escaped = text.replaceAll("%", "%%");
  return /^[^\s"#']+$/.test(escaped) ? escaped : `"${escaped.replaceAll('"', '\\"')}"`;
}

/** The section of a guest. Its last word says whose it is, so that it is replaced by who knows about it. */
export function hostSection(host: SshHost): string {
  const options = sshOptions(host).map(([key, value]) => `  ${key} ${value}`);
  return [`# ${host.engine}`, `Host ${host.alias}`, ...options, ""].join("\n");
}

const HEADING = "# Kept by strata; what is changed here is overwritten. Data: ";

/** True for a text of ours. */
export function isOurs(text: string): boolean {
  return text.startsWith(HEADING);
}

/** The data folder whose instances a text of ours has. */
export function folderOf(text: string): string | undefined {
  return isOurs(text) ? text.split("\n")[0]?.slice(HEADING.length) : undefined;
}

/** A text of ours with the sections of one engine replaced. */
export function withSections(
  before: string,
  engine: string,
  hosts: readonly SshHost[],
  dataFolder: string,
): string {
  const others = before.split(/^(?=# \S+\nHost )/m).filter((section) => /^# \S+\nHost /.test(section));
  const kept = others.filter((section) => !section.startsWith(`# ${engine}\n`));
  const sections = [...kept.map((section) => `${section.trimEnd()}\n`), ...hosts.map(hostSection)];
  return [`${HEADING}${dataFolder}\n`, ...sections].join("\n");
}

/** A file of known hosts with the lines of one engine replaced. */
export function withKnownHosts(before: string, engine: string, known: readonly KnownHost[]): string {
  const others = before.split("\n").filter((line) => line !== "" && !line.endsWith(` ${engine}`));
  return [...others, ...known.map(({ alias, hostKey }) => `${alias} ${hostKey} ${engine}`)]
    .map((line) => `${line}\n`)
    .join("");
}

/** The line that has ssh read our file, and the one before it. */
function includeLines(file: string): string {
  return `# strata's instances, as NAME.strata\nInclude ${path(file)}\n`;
}

/**
 * The user's configuration with our file included, or the same where it is already. First, since what
 * follows a Host belongs to it alone.
 */
export function withInclude(before: string, file: string): string {
  return includes(before, file) ? before : `${includeLines(file)}\n${before}`.replace(/\n\n$/, "\n");
}

/** The same without the lines that `withInclude` has put there; whatever else includes it stays. */
export function withoutInclude(before: string, file: string): string {
  const lines = includeLines(file);
  return before.replace(`${lines}\n`, "").replace(lines, "");
}

/** True where the file is included for every host. */
function includes(text: string, file: string): boolean {
  const [everywhere = ""] = text.split(/^\s*(?:Host|Match)[\s=]/im);
  const name = file.slice(file.lastIndexOf("/") + 1);
  const known = [path(file), "~/.ssh/config.d/", "config.d/"];
  return everywhere
    .split("\n")
    .flatMap((line) => /^\s*Include[\s=]+(.*)$/i.exec(line)?.[1]?.split(/\s+/) ?? [])
    .map((word) => word.replaceAll('"', ""))
    .some(
      (word) => word === known[0] || known.slice(1).some((at) => [`${at}*`, `${at}${name}`].includes(word)),
    );
}

/** A cloud-config, as YAML gives it. */
export type Config = Readonly<Record<string, unknown>>;

/** The default user of most images; giving a user this name changes nothing. */
const USUAL = "ubuntu";

/**
 * Settings in a cloud-config that prevent strata from logging in, each with a remedy. strata logs in as the
 * image's default user, who gets its key from cloud-init.
 */
export function findLockouts(config: Config): string[] {
  const found: string[] = [];
  const renamed = otherName(config.user);
  if ("users" in config && !hasDefault(config.users) && renamed === undefined) {
    found.push(
      "`users` does not contain `default`, so the user that strata logs in as is not created; add `- default`",
    );
  }
  if (renamed !== undefined) {
    found.push(
      `\`user\` makes ${renamed} the default user, and strata logs in as the image's; use \`users\` with \`- default\` and \`- name: ${renamed}\``,
    );
  }
  const system = otherName(objectOf(objectOf(config.system_info).default_user));
  if (system !== undefined) {
    found.push(
      `\`system_info\` makes ${system} the default user, and strata logs in as the image's; use \`users\` with \`- default\` and \`- name: ${system}\``,
    );
  }
  if (config.password !== undefined && objectOf(config.chpasswd).expire !== false) {
    found.push(
      "`password` expires at once, and a user whose password has expired cannot run commands; add `chpasswd: {expire: false}`",
    );
  }
  if (config.allow_public_ssh_keys === false && config.ssh_authorized_keys !== undefined) {
    found.push(
      "`allow_public_ssh_keys: false` with `ssh_authorized_keys` keeps strata's key out; remove one of them",
    );
  }
  const { mode } = objectOf(config.power_state);
  if (mode === "poweroff" || mode === "halt") {
    found.push(
      `\`power_state\` turns the guest off (${mode}) when its first boot ends, and \`launch\` waits for that boot`,
    );
  }
  return found;
}

/** The name of a user, from a string or a mapping; undefined if there is none or it is the usual one. */
function otherName(user: unknown): string | undefined {
  const name = typeof user === "string" ? user : objectOf(user).name;
  return typeof name === "string" && name !== "" && name !== USUAL ? name : undefined;
}

/** `users` is a list of names and mappings; strings with commas and mappings of names are older forms. */
function hasDefault(users: unknown): boolean {
  if (typeof users === "string") {
    return users.split(",").some((name) => name.trim() === "default");
  }
  if (Array.isArray(users)) {
    return users.some((user: unknown) => hasDefault(user) || objectOf(user).name === "default");
  }
  return Boolean(objectOf(users).default);
}

function objectOf(value: unknown): Config {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Config) : {};
}

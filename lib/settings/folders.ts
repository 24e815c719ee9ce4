import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/** The folders of this user; absolute paths. */
export interface Folders {
  /** Settings, aliases and remotes. */
  readonly config: string;
  /** Keys, plugins and scripts of aliases. */
  readonly data: string;
  /** Images and catalogues, which can be downloaded or built again. */
  readonly cache: string;
  /** Logs. */
  readonly state: string;
  /** The user's own folder of ssh, where `ssh.include` keeps a file. */
  readonly ssh: string;
}

/** The XDG folders of strata. A relative XDG variable is ignored, as its specification says. */
export function defaultFolders(env: NodeJS.ProcessEnv = process.env): Folders {
  const home = env.HOME || homedir();
  const base = (variable: string, fallback: string) => {
    const value = env[variable];
    return join(value !== undefined && isAbsolute(value) ? value : join(home, fallback), "strata");
  };
  return {
    config: base("XDG_CONFIG_HOME", ".config"),
    data: base("XDG_DATA_HOME", ".local/share"),
    cache: base("XDG_CACHE_HOME", ".cache"),
    state: base("XDG_STATE_HOME", ".local/state"),
    ssh: join(home, ".ssh"),
  };
}

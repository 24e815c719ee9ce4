import type { Log } from "../../engine/contract.ts";
import { failure } from "../../errors.ts";
import { type Manifest, readManifest } from "./manifest.ts";
import { type Remote, readRemotes } from "./remotes.ts";

/** The images that the remotes publish for this host. */
export interface Catalogue {
  /** The default one first. */
  remotes(): Promise<Remote[]>;
  /** Rejects with REMOTE_NOT_FOUND. */
  remote(name: string): Promise<Remote>;
  /** See `readManifest`. */
  manifest(
    remote: Remote,
    options: { readonly refresh?: boolean; readonly signal: AbortSignal },
  ): Promise<Manifest>;
}

/** Node's names of architectures and those of simplestreams, where they differ. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", ia32: "i386", ppc64: "ppc64el" };

/** `folder` is for manifests; `remotesFile` names the user's remotes and need not exist. */
export function openCatalogue(options: {
  readonly folder: string;
  readonly remotesFile: string;
  /** URL of a mirror of the built-in remotes; "" for none. */
  mirror(): string;
  readonly log: Log;
}): Catalogue {
  const { folder, remotesFile, log } = options;
  const arch = ARCHITECTURES[process.arch] ?? process.arch;
  const remotes = () => readRemotes(remotesFile, options.mirror());
  return {
    remotes,
    async remote(name) {
      const all = await remotes();
      const found = all.find((remote) => remote.name === name);
      if (found !== undefined) {
        return found;
      }
      const known = all.map((each) => each.name).join(", ");
      throw failure("REMOTE_NOT_FOUND", { remote: name, known, path: remotesFile });
    },
    manifest: (remote, { refresh = false, signal }) =>
      readManifest(remote, { folder, arch, refresh, signal, log }),
  };
}

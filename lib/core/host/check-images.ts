import type { Check } from "../../engine/contract.ts";
import type { Session } from "../session/session.ts";

/** How long a remote may take to answer, ms. */
const REMOTE_TIMEOUT_MS = 10_000;

/** Checks whether an instance could be launched from an image: of this host, of a remote, or built here. */
export async function checkImages(session: Session, formats: readonly string[]): Promise<Check[]> {
  const store = await session.images();
  const signal = AbortSignal.timeout(REMOTE_TIMEOUT_MS);
  const { here, remote, build, variant } = await store.sources(formats, signal);
  const command = `strata image build debian --variant ${variant}`;
  const builds: Check = {
    what: "image builds",
    // Images can be used without building any.
    ok: true,
    detail: build === null ? `possible: ${command}` : `not possible: ${build.message}`,
    ...(build?.hint === undefined ? {} : { fix: build.hint }),
  };
  if (here > 0) {
    return [{ what: "images", ok: true, detail: `${here} on this host` }, builds];
  }
  if (remote === null) {
    return [{ what: "images", ok: true, detail: "none on this host; launch downloads them" }, builds];
  }
  const images: Check = {
    what: "images",
    ok: false,
    detail: `nothing can be launched yet: there is no image on this host, and none can be downloaded: ${remote.message}`,
    fix: build === null ? `run ${command}` : `make image builds possible, then run ${command}`,
  };
  return [images, builds];
}

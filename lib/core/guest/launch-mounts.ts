import { homedir } from "node:os";
import type { Context, Mount } from "../../engine/contract.ts";
import { asStrataError, failure } from "../../errors.ts";
import { resolveTarget } from "../../mounts/target.ts";
import type { Session } from "../session/session.ts";
import { prepareMount, type Shape, toMount } from "./prepared-mount.ts";

interface Wanted {
  readonly shape: Shape;
  readonly source: string;
  readonly target?: string;
  /** Whether it is left out if its place is taken. */
  readonly optional?: boolean;
}

/** The mounts of an instance that is about to be created; `home` is mounted at `Home` if possible. */
export async function mountsForLaunch(
  session: Session,
  folders: readonly { readonly source: string; readonly target?: string }[],
  options: { readonly home: boolean },
  context: Context,
): Promise<(username: string, context: Context) => Promise<Mount[]>> {
  const wanted: Wanted[] = [];
  for (const each of folders) {
    wanted.push({ ...each, shape: await prepareMount(session, each.source, {}, context) });
  }
  if (options.home) {
    wanted.push(...(await prepareHome(session, context)));
  }
  return async (username, context) => {
    const mounts: Mount[] = [];
    for (const { shape, target } of placed(wanted, username)) {
      mounts.push(await toMount(session, shape, { target, username }, context));
    }
    return mounts;
  };
}

/** None, with a warning, if the home cannot be mounted, because the user did not request it. */
async function prepareHome(session: Session, context: Context): Promise<Wanted[]> {
  const source = homedir();
  try {
    return [
      { source, target: "Home", optional: true, shape: await prepareMount(session, source, {}, context) },
    ];
  } catch (error) {
    context.warn?.(`your home was not mounted: ${asStrataError(error).message}`);
    return [];
  }
}

/** The place of each of them in the guest of that user. */
function placed(wanted: readonly Wanted[], username: string): { shape: Shape; target: string }[] {
  const places = new Map<string, Shape>();
  for (const { shape, source, target: given, optional } of wanted) {
    const target = resolveTarget(given, source, username);
    if (!places.has(target)) {
      places.set(target, shape);
    } else if (optional !== true) {
      throw failure("USAGE", { reason: `two folders cannot be mounted at ${target}` });
    }
  }
  return [...places].map(([target, shape]) => ({ target, shape }));
}

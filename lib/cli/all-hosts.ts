import { asStrataError, failure } from "../errors.ts";
import { parseAddress } from "../remote/address.ts";
import { connectTo } from "../remote/run.ts";
import { contextsPath, readContexts } from "../settings/contexts.ts";
import type { Cli } from "./cli.ts";
import { HERE } from "./far-command.ts";
import { listThere } from "./far-list.ts";
import type { Typed } from "./format/typed.ts";

/** What could not be listed. */
export interface HostFailure {
  readonly host: string;
  readonly message: string;
  readonly hint: string | undefined;
  readonly exitCode: number;
}

/** The instances of all hosts, each with a field `host`. */
export interface AllHosts {
  readonly objects: readonly Typed[];
  readonly failures: readonly HostFailure[];
  /** False where no engine is installed on this host: whoever works with those of other hosts needs none here. */
  readonly hasEngine: boolean;
}

/** What one host has answered. */
type Answer = Omit<AllHosts, "hasEngine">;

/** How long a host may take to list its instances, ms. */
const TIMEOUT_MS = 20_000;

/**
 * Lists the instances of this host and all contexts, all at once: one that does not answer delays the others by no more
 * than its own time-out. ssh asks nothing, since several would ask at once.
 */
export async function listAllHosts(
  { io: { env }, call }: Cli,
  o: { readonly fields: readonly string[]; readonly addresses: boolean; here(): Promise<readonly Typed[]> },
): Promise<AllHosts> {
  const contexts = Object.entries(await readContexts(contextsPath(env))).sort(([a], [b]) => (a < b ? -1 : 1));
  const there = async (host: string, address: string): Promise<Answer> => {
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    const signal = AbortSignal.any([call.signal, timeout]);
    try {
      const connection = await connectTo(host, parseAddress(address), { env, ask: false, signal });
      const { objects, said, code } = await listThere(connection, { before: [], ...o }, signal);
      const failures = code === 0 ? [] : [{ host, message: said, hint: undefined, exitCode: code }];
      return { objects: objects.map((each) => ({ host, ...each })), failures };
    } catch (error) {
      throw timeout.aborted && !call.signal.aborted
        ? failure("TIMEOUT", { seconds: TIMEOUT_MS / 1000, what: "the list of its instances" }, error)
        : error;
    }
  };
  const here = async (): Promise<Answer> => ({
    objects: (await o.here()).map((each) => ({ host: HERE, ...each })),
    failures: [],
  });
  const hosts = [{ host: HERE, list: here }].concat(
    contexts.map(([host, address]) => ({ host, list: () => there(host, address) })),
  );
  const answers = await Promise.allSettled(hosts.map(({ list }) => list()));
  call.signal.throwIfAborted();
  const hasEngine = !(isNotInstalled(answers[0]) && answers.some(({ status }) => status === "fulfilled"));
  const all = answers.map((answer, at): Answer => {
    if (answer.status === "fulfilled") {
      return answer.value;
    }
    const { message, hint, exitCode } = asStrataError(answer.reason);
    const host = hosts[at]?.host ?? "";
    return { objects: [], failures: host === HERE && !hasEngine ? [] : [{ host, message, hint, exitCode }] };
  });
  return {
    objects: all.flatMap(({ objects }) => objects),
    failures: all.flatMap(({ failures }) => failures),
    hasEngine,
  };
}

function isNotInstalled(answer: PromiseSettledResult<unknown> | undefined): boolean {
  if (answer?.status !== "rejected") {
    return false;
  }
  const { code, details } = asStrataError(answer.reason);
  return code === "ENGINE_UNAVAILABLE" && details.installed === false;
}

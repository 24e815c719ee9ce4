import { failure } from "../errors.ts";
import { type Address, isAddress, parseAddress } from "../remote/address.ts";
import { contextsPath, findContext, readContexts } from "../settings/contexts.ts";
import { nearDetail } from "../util/nearest.ts";

/** The address of a context, or the one that is named. */
export async function addressOf(host: string, env: NodeJS.ProcessEnv): Promise<Address> {
  if (isAddress(host)) {
    return parseAddress(host);
  }
  const contexts = await readContexts(contextsPath(env));
  const found = findContext(contexts, host);
  if (found === undefined) {
    const near = await nearDetail(host, () => Object.keys(contexts));
    throw failure("CONTEXT_NOT_FOUND", { name: host, ...near });
  }
  return parseAddress(found);
}

import type { IdMap } from "../engine/contract.ts";
import { failure } from "../errors.ts";

/** The highest id; the number after it means "no id". */
const HIGHEST = 2 ** 32 - 2;

/** Reads `HOST:GUEST`, two ids of users or of groups. Throws INVALID_VALUE; `what` names the option. */
export function parseIdMap(what: string, text: string): IdMap {
  const [, host, guest] = /^(\d{1,10}):(\d{1,10})$/.exec(text) ?? [];
  const map = { host: Number(host), guest: Number(guest) };
  if (host === undefined || map.host > HIGHEST || map.guest > HIGHEST) {
    throw failure("INVALID_VALUE", {
      what,
      value: text,
      reason: "must be the id on the host and the id in the guest, such as 1000:1000",
    });
  }
  return map;
}

/** Throws INVALID_VALUE unless host ids and guest ids are mapped one to one. */
export function checkIdMaps(what: string, maps: readonly IdMap[]): void {
  for (const [at, map] of maps.entries()) {
    const other = maps.slice(0, at).find(({ host, guest }) => host === map.host || guest === map.guest);
    if (other === undefined) {
      continue;
    }
    const side = other.host === map.host ? `host id ${map.host}` : `guest id ${map.guest}`;
    throw failure("INVALID_VALUE", {
      what,
      value: `${map.host}:${map.guest}`,
      reason: `${side} is already mapped by ${other.host}:${other.guest}, and each id can be mapped only once`,
    });
  }
}

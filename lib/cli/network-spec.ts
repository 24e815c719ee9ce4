import type { NicSpec } from "../engine/contract.ts";
import { failure } from "../errors.ts";

const FORM = "must be NAME or name=NAME[,mode=auto|manual][,mac=ADDRESS]";

/** Reads the value of `--network`: `NAME`, or `name=NAME,mode=auto|manual,mac=ADDRESS`. */
export function parseNicSpec(text: string): NicSpec {
  const refused = (reason: string) => failure("INVALID_VALUE", { what: "--network", value: text, reason });
  if (!text.includes("=") && !text.includes(",") && text !== "") {
    return { network: text };
  }
  const values = new Map<string, string>();
  for (const part of text.split(",")) {
    const at = part.indexOf("=");
    const key = part.slice(0, at);
    const value = part.slice(at + 1);
    if (at === -1 || !["name", "mode", "mac"].includes(key) || value === "" || values.has(key)) {
      throw refused(FORM);
    }
    values.set(key, value);
  }
  const network = values.get("name");
  const mode = values.get("mode") ?? "auto";
  const mac = values.get("mac");
  if (network === undefined) {
    throw refused(FORM);
  }
  if (mode !== "auto" && mode !== "manual") {
    throw refused("mode must be auto or manual");
  }
  return { network, mode, ...(mac === undefined ? {} : { mac }) };
}

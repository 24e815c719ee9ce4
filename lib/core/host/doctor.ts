import type { Check } from "../../engine/contract.ts";
import { asStrataError } from "../../errors.ts";
import type { Session } from "../session/session.ts";

/** Checks everything that strata needs on this host. Never rejects. */
export async function doctor(session: Session): Promise<Check[]> {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const recent = major > 20 || (major === 20 && minor >= 19);
  const node: Check = {
    what: "node",
    ok: recent,
    detail: process.version,
    ...(recent ? {} : { fix: "strata needs Node.js 20.19 or newer" }),
  };
  try {
    const plugin = await session.plugin();
    return [node, ...(await plugin.check(await session.openOptions()))];
  } catch (error) {
    const { message, hint } = asStrataError(error);
    return [
      node,
      { what: "engine", ok: false, detail: message, ...(hint === undefined ? {} : { fix: hint }) },
    ];
  }
}

import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { type Figure, type Scope, sideBySide } from "./measure.ts";

export const PROGRAM = fileURLToPath(new URL("../../dist/bin/strata.js", import.meta.url));

/** Runs the built program on the system's daemon as a user's shell would. */
export function strata(...args: readonly string[]) {
  return execa(process.execPath, [PROGRAM, ...args]);
}

/** Whole processes that do next to nothing. */
export async function startUp(scope: Scope): Promise<Figure[]> {
  const subject = "start-up";
  return [
    await sideBySide(
      scope,
      { subject, what: "strata version", peer: "node -e 0" },
      () => strata("version"),
      () => execa(process.execPath, ["-e", "0"]),
    ),
    await sideBySide(
      scope,
      { subject, what: "strata list", peer: "virsh list --all" },
      () => strata("list"),
      () => execa("virsh", ["-q", "-c", "qemu:///system", "list", "--all"]),
    ),
  ];
}

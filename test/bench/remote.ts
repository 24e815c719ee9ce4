import { execa } from "execa";
import { farHost } from "../support/remote/far-host.ts";
import { type Figure, type Scope, sideBySide } from "./measure.ts";
import { PROGRAM, strata } from "./start-up.ts";

/** A command over a kept connection, beside the same one here and beside ssh alone. */
export async function remote(scope: Scope): Promise<Figure[]> {
  const subject = "remote";
  await using far = await farHost({});
  const there = (...args: readonly string[]) =>
    execa(process.execPath, [PROGRAM, "--host", far.address, ...args], { env: far.env });
  // Makes the connection, and fills the caches of compiled code on both ends.
  await there("list");
  await there("list");
  const [, socket = ""] = /^(\S+)/.exec((await far.there("ls -d ../near/run/strata/*")).trim()) ?? [];
  const ssh = (...command: readonly string[]) =>
    execa("ssh", ["-S", `${far.home}/${socket}`, "x", ...command], { env: far.env });
  return [
    await sideBySide(
      scope,
      { subject, what: "strata --host box list", peer: "strata list" },
      () => there("list"),
      () => strata("list"),
    ),
    await sideBySide(
      scope,
      { subject, what: "strata --host box list", peer: "ssh box strata list" },
      () => there("list"),
      () => ssh("strata", "list"),
    ),
    await sideBySide(
      scope,
      { subject, what: "ssh box true, kept connection", peer: "node -e 0" },
      () => ssh("true"),
      () => execa(process.execPath, ["-e", "0"]),
    ),
  ];
}

import { execa } from "execa";
import { libvirtFixture } from "../support/libvirt/fixture.ts";
import { privateDaemon } from "../support/libvirt/private-daemon.ts";
import { gather } from "./crowd.ts";
import { type Figure, type Scope, sideBySide } from "./measure.ts";
import { PROGRAM } from "./start-up.ts";

const SNAPSHOTS = 5;
/** Prints the largest resident set of the process, KiB, when it ends. */
const TELL_MEMORY =
  'data:text/javascript,process.on("exit",()=>process.stderr.write(String(process.resourceUsage().maxRSS)))';

/**
 * Many instances with a few snapshots each: what looking at all of them costs as a whole process. On a
 * daemon of its own, so that no other instance is counted and nobody else sees the crowd.
 */
export async function scale(scope: Scope): Promise<Figure[]> {
  const subject = "scale";
  const counts = scope.short ? [10, 50] : [10, 100, 1000];
  const figures: Figure[] = [];
  await using daemon = await privateDaemon();
  const env = { STRATA_LIBVIRT_URI: daemon.uri };
  const strata = (...args: readonly string[]) => execa(process.execPath, [PROGRAM, ...args], { env });
  const virsh = (commands: readonly string[]) =>
    execa("virsh", ["-q", "-c", daemon.uri], { input: `${commands.join("\n")}\nquit\n` });
  await using fixture = await libvirtFixture({ uri: daemon.uri });
  await using crowd = await gather(fixture, SNAPSHOTS);
  for (const count of counts) {
    await crowd.growTo(count);
    const few = { ...scope, rounds: Math.min(scope.rounds, count >= 1000 ? 5 : 15) };
    const beside = async (args: readonly string[], peer: string, commands: readonly string[]) => {
      const what = `strata ${args.join(" ")}, ${count} instances`;
      const names = { subject, what, peer };
      figures.push(
        await sideBySide(
          few,
          names,
          () => strata(...args),
          () => virsh(commands),
        ),
      );
    };
    const { names } = crowd;
    await beside(["list"], "virsh list --all", ["list --all"]);
    await beside(
      ["list", "--snapshots"],
      "snapshot-list of each in one virsh",
      names.map((name) => `snapshot-list ${name}`),
    );
    await beside(
      ["info"],
      "dominfo of each in one virsh",
      names.map((name) => `dominfo ${name}`),
    );
    for (const args of [["list"], ["list", "--snapshots"]]) {
      const peak = async (argv: readonly string[]) =>
        Number((await execa(process.execPath, ["--import", TELL_MEMORY, PROGRAM, ...argv], { env })).stderr) /
        1024;
      const what = `memory of strata ${args.join(" ")}, ${count} instances`;
      const [ours, theirs] = [await peak(args), await peak(["version"])];
      figures.push({ subject, what, ours, unit: "MiB", peer: "memory of strata version", theirs });
    }
  }
  return figures;
}

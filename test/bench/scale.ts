import { execa } from "execa";
import { libvirtFixture } from "../support/libvirt.ts";
import { gather } from "./crowd.ts";
import { type Figure, type Scope, sideBySide } from "./measure.ts";
import { PROGRAM, strata, virsh } from "./start-up.ts";

const SNAPSHOTS = 5;
/** Prints the largest resident set of the process, KiB, when it ends. */
const TELL_MEMORY =
  'data:text/javascript,process.on("exit",()=>process.stderr.write(String(process.resourceUsage().maxRSS)))';

/** Many instances with a few snapshots each: what looking at all of them costs as a whole process. */
export async function scale(scope: Scope): Promise<Figure[]> {
  const subject = "scale";
  const counts = scope.short ? [10, 50] : [10, 100, 1000];
  const { rounds } = scope;
  const figures: Figure[] = [];
  await using fixture = await libvirtFixture();
  await using crowd = await gather(fixture, SNAPSHOTS);
  for (const count of counts) {
    await crowd.growTo(count);
    const few = { ...scope, rounds: count >= 1000 ? Math.min(5, rounds) : rounds };
    figures.push(
      await sideBySide(
        few,
        { subject, what: `list, ${count} instances`, peer: "virsh list --all" },
        () => strata("list"),
        () => virsh("list", "--all"),
      ),
      await sideBySide(
        few,
        {
          subject,
          what: `info of all, ${count} instances`,
          peer: "virsh list and dominfo of each, in one virsh",
        },
        () => strata("info", "--format", "json"),
        () => inOneVirsh(crowd.names.map((name) => `dominfo ${name}`)),
      ),
      await sideBySide(
        few,
        {
          subject,
          what: `list --snapshots, ${count} instances`,
          peer: "snapshot-list of each, in one virsh",
        },
        () => strata("list", "--snapshots"),
        () => inOneVirsh(crowd.names.map((name) => `snapshot-list ${name}`)),
      ),
      await memory(`memory of list --snapshots, ${count} instances`, ["list", "--snapshots"]),
    );
  }
  return figures;
}

async function inOneVirsh(commands: readonly string[]): Promise<void> {
  await execa("virsh", ["-q", "-c", "qemu:///system"], { input: `${commands.join("\n")}\nquit\n` });
}

async function memory(what: string, args: readonly string[]): Promise<Figure> {
  const peak = async (argv: readonly string[]) =>
    Number((await execa(process.execPath, ["--import", TELL_MEMORY, ...argv])).stderr) / 1024;
  const [ours, theirs] = [await peak([PROGRAM, ...args]), await peak([PROGRAM, "version"])];
  return { subject: "scale", what, ours, unit: "MiB", peer: "memory of strata version", theirs };
}

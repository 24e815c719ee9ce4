import { cpus, loadavg, release, totalmem } from "node:os";
import { execa } from "execa";

/** What figures depend on besides the code. */
export async function describeMachine(): Promise<Readonly<Record<string, string>>> {
  const first = async (program: string, ...args: string[]) =>
    (await execa(program, args, { reject: false })).stdout.split("\n")[0] ?? "";
  const [processor] = cpus();
  return {
    date: new Date().toISOString(),
    commit: await first("git", "describe", "--always", "--dirty"),
    processor: `${cpus().length} × ${processor?.model ?? "unknown"}`,
    memory: `${(totalmem() / 1024 ** 3).toFixed(1)} GiB`,
    kernel: release(),
    load: loadavg()
      .map((value) => value.toFixed(2))
      .join(" "),
    filesystem: await first("stat", "--file-system", "--format=%T", "/var/lib/libvirt/images"),
    node: process.version,
    libvirt: await first("virsh", "--version"),
    qemu: await first("qemu-img", "--version"),
  };
}

import { createHash } from "node:crypto";
import { chmod, copyFile, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import type { ImageSource } from "../../../lib/engine/contract.ts";

const METADATA = `architecture: x86_64
creation_date: 1700000000
properties: {description: strata test}
`;

/**
 * The smallest root that a container starts from: Debian's static busybox as init and everything else,
 * with users root, ubuntu and tester.
 */
export async function makeContainerImage(folder: string): Promise<ImageSource> {
  const tree = join(folder, "image");
  const root = join(tree, "rootfs");
  for (const each of [
    "bin",
    "sbin",
    "proc",
    "sys",
    "dev",
    "tmp",
    "var/tmp",
    "root",
    "etc",
    "run",
    "mnt",
    "srv",
    "home/ubuntu",
    "home/tester",
  ]) {
    await mkdir(join(root, each), { recursive: true });
  }
  for (const each of ["tmp", "var/tmp"]) {
    await chmod(join(root, each), 0o1777);
  }
  await busybox(folder, root);
  const { stdout } = await execa(join(root, "bin/busybox"), ["--list"]);
  for (const applet of stdout.split("\n").filter((name) => name !== "busybox")) {
    await symlink("busybox", join(root, "bin", applet));
  }
  await symlink("../bin/busybox", join(root, "sbin/init"));
  await writeFile(join(root, "etc/inittab"), "::sysinit:/bin/true\n");
  await writeFile(
    join(root, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\nubuntu:x:1000:1000::/home/ubuntu:/bin/sh\ntester:x:1001:1001::/home/tester:/bin/sh\n",
  );
  await writeFile(join(root, "etc/group"), "root:x:0:\nubuntu:x:1000:\ntester:x:1001:\n");
  await writeFile(join(tree, "metadata.yaml"), METADATA);
  await execa("chown", ["1000:1000", join(root, "home/ubuntu")]);
  await execa("chown", ["1001:1001", join(root, "home/tester")]);
  const path = join(folder, "image.tar.gz");
  await execa("tar", ["-C", tree, "-czf", path, "metadata.yaml", "rootfs"]);
  const sha256 = createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
  return { path, format: "lxd-rootfs", sha256, virtualSize: 16n * 1024n ** 2n };
}

/** The host's own where that is static, else the one of a package. */
async function busybox(folder: string, root: string): Promise<void> {
  const query = await execa("dpkg-query", ["--listfiles", "busybox-static"], { reject: false });
  const own = query.stdout.split("\n").find((path) => path.endsWith("/bin/busybox"));
  if (own !== undefined) {
    await copyFile(own, join(root, "bin/busybox"));
    return;
  }
  const packages = join(folder, "busybox.tar");
  await execa("mmdebstrap", [
    "--variant=extract",
    "--include=busybox-static",
    "--quiet",
    "bookworm",
    packages,
  ]);
  await execa("tar", ["-C", root, "-xf", packages, "./bin/busybox"]);
}

import { createHash } from "node:crypto";
import { DISK, KERNEL_ARGUMENTS, type Variant } from "./build.ts";
import {
  CLOUD_FILES,
  CLOUD_LINKS,
  CLOUD_PACKAGES,
  CLOUD_SERVICES,
  INITRAMFS_CONF,
  INITRAMFS_MODULES,
} from "./cloud-files.ts";
import {
  CONTAINER_FILES,
  CONTAINER_LINKS,
  CONTAINER_PACKAGES,
  CONTAINER_SERVICES,
} from "./container-files.ts";
import { MICRO_FILES, MICRO_LINKS, MICRO_PACKAGES } from "./micro-files.ts";
import { INITRD_DRIVERS, INITRD_INIT } from "./micro-init.ts";

/** Increase this when the build steps put something else into images and nothing below shows it. */
const STEPS = 2;

const INGREDIENTS = {
  micro: [
    MICRO_PACKAGES,
    MICRO_FILES,
    MICRO_LINKS,
    INITRD_INIT,
    INITRD_DRIVERS,
    DISK.micro,
    KERNEL_ARGUMENTS.micro,
  ],
  cloud: [
    [CLOUD_PACKAGES, CLOUD_FILES, CLOUD_LINKS, CLOUD_SERVICES],
    [INITRAMFS_CONF, INITRAMFS_MODULES, DISK.cloud, KERNEL_ARGUMENTS.cloud],
  ],
  container: [CONTAINER_PACKAGES, CONTAINER_FILES, CONTAINER_LINKS, CONTAINER_SERVICES],
} as const;

/** A digest of everything that images of a variant are built from, except the distribution's own packages. */
export function recipeOf(variant: Variant): string {
  return createHash("sha256")
    .update(JSON.stringify([STEPS, INGREDIENTS[variant]]))
    .digest("hex");
}

import { randomInt, randomUUID } from "node:crypto";
import type {
  Context,
  ImageSource,
  InstancePlan,
  InstanceSpec,
  Instances,
  Resources,
} from "../../engine/contract.ts";
import { RECORD_VERSION } from "../../engine/contract.ts";
import { asStrataError, failure, type StrataError } from "../../errors.ts";
import { makeSeed } from "../../guest/seed.ts";
import { checkUserData } from "../../guest/user-data.ts";
import { BLANK, CONTAINER, MACHINES } from "../../images/local.ts";
import type { ResolvedImage } from "../../images/store.ts";
import { exactSize } from "../../size/format.ts";
import { defined } from "../../util/defined.ts";
import { quote } from "../../util/quote.ts";
import type { CallOptions, LaunchOptions } from "../api/strata.ts";
import { userKeys } from "../guest/guest.ts";
import { mountsForLaunch } from "../guest/launch-mounts.ts";
import { refreshInclude } from "../guest/ssh-include.ts";
import { checkNics } from "../host/networks.ts";
import { requireFeature } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { getSetting } from "../session/settings.ts";
import { ADJECTIVES, ANIMALS } from "../session/words.ts";
import { checkName } from "../snapshots/names.ts";
import { awaitBoot, boot, START_TIMEOUT } from "./boot.ts";
import { checkExtraDisks } from "./disks.ts";
import { outlines, whileLocked } from "./instances.ts";
import { checkCpus, checkMemory, MIN_DISK } from "./resources.ts";

/** The name of the image that is used if none is named. */
const DEFAULT_IMAGE = "default";
const GIB = 1024n ** 3n;
/** The default user of most images, used until the image is known. */
const USERNAME = "ubuntu";
const DEFAULTS = { cpus: 1, memory: GIB, disk: 5n * GIB };
/** Resources for a system that is installed by hand on an empty disk. */
const INSTALLED_DISK = 20n * GIB;

/** Creates an instance, starts it and waits for its guest. */
export async function launch(
  session: Session,
  options: LaunchOptions,
  call?: CallOptions,
): Promise<{ readonly name: string }> {
  const context = contextOf(call);
  const { instances } = await session.engine();
  const spec = await prepare(session, options, context);
  const { name } = spec;
  const instance = await instances.create(spec, context);
  try {
    await whileLocked(session, instance, context, (lock) => boot(session, lock, context));
  } catch (error) {
    // An instance that never ran is of no use, so it is removed.
    const whole = contextOf();
    await whileLocked(session, instance, whole, (lock) => instances.remove(lock, whole));
    throw error;
  }
  // An installer has no ssh server; its user sees on the screen when it is finished.
  if (options.image === BLANK) {
    return { name };
  }
  await awaitBoot(session, instance, options.timeout ?? START_TIMEOUT, context).catch((error: unknown) => {
    // Cancelling only ends the wait: the instance runs, and may be wanted.
    if (asStrataError(error).code === "CANCELLED") {
      context.warn?.(
        `"${name}" was launched and is still starting; \`strata delete --purge ${quote(name)}\` removes it`,
      );
    }
    throw error;
  });
  await refreshInclude(session, context);
  return { name };
}

/** Checks everything and fetches the image before anything is created. */
async function prepare(session: Session, options: LaunchOptions, context: Context): Promise<InstanceSpec> {
  const { cpus = DEFAULTS.cpus, memory = DEFAULTS.memory } = options;
  await checkOptions(session, { ...options, cpus, memory });
  const extra = extraDisksOf(options);
  const cdrom = await prepareCdrom(session, options);
  const name = await freeName(session, options.name);
  const instanceId = `i-${randomUUID()}`;
  const { publicKey } = await userKeys(session);
  const { userData } = options;
  const home = name === (await getSetting(session, "client.primary-name"));
  const mountsOf = await mountsForLaunch(session, options.mounts ?? [], { home }, context);
  // Before the image is fetched, so that errors of the user are reported at once.
  const networks = await checkNics(session, options.networks ?? []);
  for (const warning of userData === undefined ? [] : await checkUserData(userData)) {
    context.warn?.(`the cloud-init data: ${warning}`);
  }
  const { instances } = await session.engine();
  const chosen = defined({ member: options.member, firmware: options.firmware });
  const mounts = await mountsOf(USERNAME, contextOf());
  const resources = { cpus, memory, disk: options.disk ?? MIN_DISK };
  await checkPlan(instances, { name, resources, mounts, networks, ...chosen, ...cdrom, ...extra });
  const image =
    options.image === BLANK
      ? await (await session.images()).blank(context)
      : await resolveImage(session, options.image, context);
  const username = options.username ?? image.username;
  const smallest = options.image === BLANK ? INSTALLED_DISK : DEFAULTS.disk;
  return {
    name,
    image: image.source,
    resources: { cpus, memory, disk: diskSize(image.source, options.disk, smallest) },
    mounts: await mountsOf(username, context),
    networks,
    seed: makeSeed({ name, instanceId, username, publicKey, ...defined({ userData }) }),
    record: {
      version: RECORD_VERSION,
      image: { sha256: image.source.sha256, release: image.release, os: image.os },
      username,
      deleted: false,
      snapshotsTaken: 0,
      cloudInstanceId: instanceId,
      createdAt: Date.now(),
    },
    ...chosen,
    ...cdrom,
    ...extra,
  };
}

function extraDisksOf({ extraDisks = [] }: LaunchOptions): Pick<InstanceSpec, "extraDisks"> {
  return extraDisks.length === 0 ? {} : { extraDisks };
}

/** Checks options that are used as they are. */
async function checkOptions(
  session: Session,
  {
    name,
    cpus,
    memory,
    disk,
    extraDisks,
    member,
    firmware,
  }: LaunchOptions & Pick<Resources, "cpus" | "memory">,
): Promise<void> {
  if (name !== undefined) {
    checkName("instance", name);
  }
  checkCpus(cpus);
  checkMemory(memory);
  if (disk !== undefined && disk < MIN_DISK) {
    throw failure("SIZE_TOO_SMALL", { kind: "disk", value: disk, minimum: "512M" });
  }
  await checkExtraDisks(session, extraDisks ?? []);
  if (member !== undefined) {
    await requireFeature(session, "cluster", "placing an instance on a member");
  }
  if (firmware !== undefined) {
    await requireFeature(session, "firmware", "choosing the firmware");
  }
}

/** The ISO for the CD drive, if there is one. */
async function prepareCdrom(session: Session, options: LaunchOptions): Promise<{ readonly cdrom?: string }> {
  if (options.username !== undefined && options.image !== BLANK) {
    const reason = "only a system that is installed from a CD-ROM has one of one's choice";
    throw failure("INVALID_VALUE", { what: "the user name", value: options.username, reason });
  }
  if (options.cdrom === undefined) {
    if (options.image === BLANK) {
      const reason = "an empty disk needs a CD-ROM to boot from";
      throw failure("INVALID_VALUE", { what: "the image", value: BLANK, reason });
    }
    return {};
  }
  await requireFeature(session, "cdrom", "launching from a CD-ROM");
  const { findCdrom } = await import("../../images/cdrom.ts");
  return { cdrom: await findCdrom(options.cdrom) };
}

function diskSize({ virtualSize }: ImageSource, wanted: bigint | undefined, smallest: bigint): bigint {
  if (wanted === undefined) {
    return virtualSize > smallest ? virtualSize : smallest;
  }
  if (wanted < virtualSize) {
    throw failure("SIZE_TOO_SMALL", {
      kind: "disk",
      value: wanted,
      minimum: `${exactSize(virtualSize)}, the image's own size`,
    });
  }
  return wanted;
}

/** An engine that accepts any image does not need a real one. */
async function resolveImage(session: Session, image: string, context: Context): Promise<ResolvedImage> {
  const { imageFormats } = await session.info();
  if (!imageFormats.includes("any")) {
    try {
      return await (await session.images()).resolve(image, context, imageFormats);
    } catch (error) {
      throw await otherKind(session, image, asStrataError(error));
    }
  }
  const source = { path: "", format: "any", sha256: "0".repeat(64), virtualSize: MIN_DISK };
  return { source, os: "", release: image, username: USERNAME };
}

/** If there is an image, but not in the engine's formats, the error says so. */
async function otherKind(session: Session, image: string, error: StrataError): Promise<StrataError> {
  if (image === DEFAULT_IMAGE && error.code === "DOWNLOAD_FAILED") {
    const { imageFormats } = await session.info();
    const variant = imageFormats[0] === "qcow2" ? "cloud" : "container";
    return failure("NO_IMAGE", { reason: error.message, variant }, error);
  }
  if (error.code !== "IMAGE_NOT_BUILT" && error.code !== "IMAGE_NOT_FOUND") {
    return error;
  }
  const name = image.toLowerCase();
  // Any Debian image would do, and the error says which one to build.
  if (name === "debian") {
    return error;
  }
  const here = (await (await session.images()).list()).find(({ aliases }) => aliases.includes(name));
  const { engine, imageFormats, missing } = await session.info();
  const container = (here?.aliases ?? [name]).includes(CONTAINER);
  if (container && imageFormats[0] === "qcow2") {
    const reason =
      "it is a container image, for engines such as LXD and Incus: use `strata --driver lxd launch`";
    return failure("UNSUPPORTED", { what: `the image "${image}"`, engine, reason }, error);
  }
  const disk = MACHINES.includes(name) && !imageFormats.includes("qcow2");
  if (here === undefined && !disk) {
    return error;
  }
  const takes = `the format must be ${imageFormats.join(" or ")}`;
  const reason = [takes, missing.get("vm")].filter((each) => each !== undefined).join("; ");
  return failure("UNSUPPORTED", { what: `the image "${image}"`, engine, reason }, error);
}

/**
 * Rejects requests that cannot be fulfilled. The engine decides whether the name is free, because it may
 * remove the remains of a launch that died.
 */
async function checkPlan(instances: Instances, plan: InstancePlan): Promise<void> {
  if (instances.check !== undefined) {
    return instances.check(plan);
  }
  const { name } = plan;
  if ((await instances.find(name)) !== null) {
    throw failure("INSTANCE_EXISTS", { name });
  }
}

async function freeName(session: Session, wanted: string | undefined): Promise<string> {
  if (wanted !== undefined) {
    return wanted;
  }
  const taken = new Set((await outlines(session)).map(({ name }) => name));
  for (let attempt = 0; ; attempt++) {
    const pair = `${ADJECTIVES[randomInt(ADJECTIVES.length)]}-${ANIMALS[randomInt(ANIMALS.length)]}`;
    const name = attempt < 100 ? pair : `${pair}-${randomInt(1_000_000)}`;
    if (!taken.has(name)) {
      return name;
    }
  }
}

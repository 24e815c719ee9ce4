import type { Check, OpenOptions } from "../../lib/engine/contract.ts";
import { formatSize } from "../../lib/size/format.ts";
import { quote } from "../../lib/util/quote.ts";
import { traced } from "../../lib/util/trace.ts";
import { type LibvirtEngine, openEngine } from "./engine.ts";
import { isLibvirt, libvirtError } from "./errors.ts";
import { hasExtensions } from "./host/probe.ts";
import { StoragePoolState } from "./rpc/index.ts";
import { POOL } from "./storage/pool.ts";

/** Programs that the engine calls, with the Debian package of each. */
const PROGRAMS = [
  ["qemu-img", "qemu-utils", ["--version"]],
  ["flock", "util-linux", ["--version"]],
  ["genisoimage", "genisoimage", ["--version"]],
] as const;

/** Checks everything that the engine needs on this host. Never rejects. */
export async function checkHost(options: OpenOptions): Promise<Check[]> {
  const programs = await Promise.all(PROGRAMS.map(checkProgram));
  try {
    await using engine = await openEngine(options);
    const checks = [checkDaemon, checkAccelerator, checkKvmProbing, checkNetwork, checkPool, checkMounts];
    const found = await Promise.all(checks.map((check) => guarded(check, engine)));
    return [...found.flat(), ...programs];
  } catch (error) {
    return [
      { what: "daemon", ok: false, detail: libvirtError(error).message, fix: daemonFix(options) },
      ...programs,
    ];
  }
}

function daemonFix(options: OpenOptions): string {
  return options.settings.uri === "qemu:///session" || process.getuid?.() !== 0
    ? "install libvirt-daemon and qemu-system; the session daemon starts automatically"
    : "systemctl enable --now libvirtd, or without systemd: strata setup";
}

async function guarded(
  check: (engine: LibvirtEngine) => Promise<Check[]>,
  engine: LibvirtEngine,
): Promise<Check[]> {
  try {
    return await check(engine);
  } catch (error) {
    const { message, hint } = libvirtError(error);
    return [{ what: "engine", ok: false, detail: message, ...(hint === undefined ? {} : { fix: hint }) }];
  }
}

async function checkProgram([program, name, args]: (typeof PROGRAMS)[number]): Promise<Check> {
  const { execa } = await import("execa");
  const result = await traced(program, args, execa(program, args, { reject: false, all: true }));
  if (result.code === "ENOENT") {
    return { what: program, ok: false, detail: "not installed", fix: `apt-get install ${name}` };
  }
  return { what: program, ok: true, detail: result.all.split("\n")[0] ?? "" };
}

async function checkDaemon({ connection }: LibvirtEngine): Promise<Check[]> {
  const [{ major, minor, release }, qemu] = await Promise.all([
    connection.libVersion(),
    connection.hypervisorVersion(),
  ]);
  const detail = `${connection.uri}: libvirt ${major}.${minor}.${release}, QEMU ${qemu.major}.${qemu.minor}.${qemu.release}`;
  return [{ what: "daemon", ok: true, detail }];
}

async function checkAccelerator(engine: LibvirtEngine): Promise<Check[]> {
  const { accelerator, reason } = await engine.host();
  const detail = accelerator === "kvm" ? `KVM: ${reason}` : `TCG (slow software emulation): ${reason}`;
  return [{ what: "accelerator", ok: true, detail }];
}

/** If reading the capabilities takes longer than this, QEMU was probed again, ms. */
const SLOW_CAPABILITIES_MS = 2000;

/**
 * A daemon that can open a /dev/kvm that does not work probes QEMU at every call, for seconds. That shows in
 * how long it takes to report its capabilities.
 */
async function checkKvmProbing(engine: LibvirtEngine): Promise<Check[]> {
  const { arch } = await engine.host();
  if (await hasExtensions(arch)) {
    return [];
  }
  const begin = Date.now();
  await engine.connection.capabilities();
  if (Date.now() - begin < SLOW_CAPABILITIES_MS) {
    return [];
  }
  return [
    {
      what: "kvm",
      ok: false,
      detail:
        "libvirt sees a /dev/kvm that does not work with this processor: every call is slow, and KVM guests hang",
      fix: `hide it and restart the daemon: ${HIDE_KVM}`,
    },
  ];
}

/**
 * Replaces /dev/kvm with a device that cannot be opened: libvirt probes again for as long as it can open one.
 */
const HIDE_KVM =
  "mknod -m 000 /run/libvirt/no-kvm c 1 3; unshare -m sh -c 'mount --bind /run/libvirt/no-kvm /dev/kvm && exec libvirtd -d'";

async function checkNetwork(engine: LibvirtEngine): Promise<Check[]> {
  if (engine.session) {
    return [{ what: "network", ok: true, detail: "user-mode networking with a forwarded ssh port" }];
  }
  const name = engine.settings.network || "default";
  try {
    const network = await engine.connection.lookupNetworkByName(name);
    if (await network.isActive()) {
      return [{ what: "network", ok: true, detail: `"${name}" is active` }];
    }
    return [
      {
        what: "network",
        ok: false,
        detail: `"${name}" is not active`,
        fix: `virsh net-start ${quote(name)}`,
      },
    ];
  } catch (error) {
    if (!isLibvirt(error, "NO_NETWORK")) {
      throw error;
    }
    return [
      {
        what: "network",
        ok: false,
        detail: `"${name}" is not defined`,
        fix: "virsh net-define /usr/share/libvirt/networks/default.xml && virsh net-start default",
      },
    ];
  }
}

async function checkMounts(engine: LibvirtEngine): Promise<Check[]> {
  const sharing = await engine.sharing();
  if (sharing.driver === null) {
    return [{ what: "mounts", ok: false, detail: sharing.reason, fix: "apt-get install virtiofsd" }];
  }
  // The images that strata builds cannot mount 9p, so this would show at the first mount.
  if (sharing.driver === "9p" && !engine.session) {
    const detail =
      "9p, because virtiofsd is not installed; without it, folders cannot be mounted in the images that strata builds";
    return [{ what: "mounts", ok: false, detail, fix: "apt-get install virtiofsd" }];
  }
  const how = sharing.driver === "virtiofs" ? `virtiofs by ${sharing.virtiofsd}` : "9p";
  return [
    {
      what: "mounts",
      ok: true,
      detail: `${how}, ${sharing.unmapped === null ? "with id maps" : `without id maps: ${sharing.unmapped}`}`,
    },
  ];
}

async function checkPool(engine: LibvirtEngine): Promise<Check[]> {
  try {
    const pool = await engine.connection.lookupStoragePoolByName(POOL);
    const [{ state, available }, path] = await Promise.all([pool.getInfo(), engine.pool()]);
    const running = state === StoragePoolState.RUNNING;
    return [
      {
        what: "pool",
        ok: true,
        detail: `"${POOL}" at ${path}, ${running ? `${formatSize(available)} free` : "just started"}`,
      },
    ];
  } catch (error) {
    if (!isLibvirt(error, "NO_STORAGE_POOL")) {
      throw error;
    }
    return [{ what: "pool", ok: true, detail: `"${POOL}" is created at the first launch` }];
  }
}

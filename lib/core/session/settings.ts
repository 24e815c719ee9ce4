import { isAbsolute } from "node:path";
import type { EnginePlugin, EngineSetting } from "../../engine/contract.ts";
import { DEFAULT_ENGINE, engineNamed } from "../../engine/registry.ts";
import { failure, type StrataError } from "../../errors.ts";
import { readSwitch, SWITCH_FORM } from "../../settings/switch.ts";
import { parseSize } from "../../size/parse.ts";
import { nearDetail } from "../../util/nearest.ts";
import type { Ref } from "../api/strata.ts";
import { BRIDGED_NETWORK, bridgedNetworkRefusal, isBridged, setBridged } from "../host/networks.ts";
import { hasAutostart, setAutostart } from "../instances/autostart.ts";
import { getInstance } from "../instances/instances.ts";
import { requireDisk, resize } from "../instances/resources.ts";
import { snapshotNotFound } from "../snapshots/missing.ts";
import { checkInstanceName, checkName } from "../snapshots/names.ts";
import { describeSnapshot, renameSnapshot } from "../snapshots/snapshots.ts";
import { gather, locate } from "./engines.ts";
import { driverRefusal, pluginsRefusal } from "./plugins.ts";
import { DEFAULT_IMAGE_STORE, IMAGE_MIRROR, IMAGE_STORE, type Session } from "./session.ts";

/** Setting that lets an administrator forbid mounts. */
export const PRIVILEGED_MOUNTS = "local.privileged-mounts";

/** Settings of the client, with their defaults. */
const CLIENT: Readonly<Record<string, string>> = {
  "client.primary-name": "primary",
  [BRIDGED_NETWORK]: "",
  "local.driver": DEFAULT_ENGINE,
  [IMAGE_MIRROR]: "",
  [IMAGE_STORE]: DEFAULT_IMAGE_STORE,
  "local.plugins": "",
  [PRIVILEGED_MOUNTS]: "true",
};

const RESOURCES = ["cpus", "disk", "memory"] as const;
const BRIDGED = "bridged";
const AUTOSTART = "autostart";
const SNAPSHOT_KEYS = ["comment", "name"] as const;

type Key =
  | { readonly kind: "client"; readonly default: string }
  | { readonly kind: "engine"; readonly setting: EngineSetting }
  | { readonly kind: "resource"; readonly instance: string; readonly which: (typeof RESOURCES)[number] }
  | { readonly kind: "bridged" | "autostart"; readonly instance: string }
  | { readonly kind: "disk"; readonly instance: string; readonly disk: string }
  | {
      readonly kind: "snapshot";
      readonly ref: Required<Ref>;
      readonly which: (typeof SNAPSHOT_KEYS)[number];
    };

/** Reads a key. Throws UNKNOWN_SETTING. */
async function parseKey(session: Session, key: string): Promise<Key> {
  const fallback = CLIENT[key];
  if (fallback !== undefined && Object.hasOwn(CLIENT, key)) {
    return { kind: "client", default: fallback };
  }
  if (key === "local.passphrase") {
    throw failure("NO_PASSPHRASE");
  }
  // The name of an adopted instance may have dots; that of a snapshot has none.
  const [, of, last] = /^local\.(.+)\.([^.]+)$/s.exec(key) ?? [];
  if (of === undefined || last === undefined) {
    throw await unknownSetting(session, key);
  }
  const resource = RESOURCES.find((which) => which === last);
  if (resource !== undefined) {
    return { kind: "resource", instance: of, which: resource };
  }
  const toggle = ([BRIDGED, AUTOSTART] as const).find((which) => which === last);
  if (toggle !== undefined) {
    return { kind: toggle, instance: of };
  }
  const [, instance, snapshot] = /^(.+)\.([^.]+)$/s.exec(of) ?? [];
  const which = SNAPSHOT_KEYS.find((each) => each === last);
  if (which !== undefined && instance !== undefined && snapshot !== undefined) {
    return { kind: "snapshot", ref: { instance, snapshot }, which };
  }
  const setting =
    instance === undefined
      ? (await pluginNamed(session, of))?.settings.find((each) => each.key === last)
      : undefined;
  if (setting !== undefined) {
    return { kind: "engine", setting };
  }
  const disk = diskKey(key);
  if (disk !== undefined) {
    return disk;
  }
  throw await unknownSetting(session, key);
}

/** Reads `local.INSTANCE.disk.NAME`; undefined for any other key. */
function diskKey(key: string): Key | undefined {
  const [, instance, disk] = /^local\.(.+)\.disk\.([^.]+)$/s.exec(key) ?? [];
  return instance === undefined || disk === undefined ? undefined : { kind: "disk", instance, disk };
}

async function unknownSetting(session: Session, key: string): Promise<StrataError> {
  return failure("UNKNOWN_SETTING", { key, ...(await nearDetail(key, () => settingKeys(session))) });
}

/** The engine of that name, which may not be the one in use; undefined if there is none. */
async function pluginNamed(session: Session, name: string): Promise<EnginePlugin | undefined> {
  if (name === session.engineName) {
    return session.plugin();
  }
  const { names, find } = await session.catalogue();
  return (await names()).includes(name) ? (await find(name)).load() : undefined;
}

/** All keys that exist now, sorted. */
export async function settingKeys(session: Session): Promise<string[]> {
  const found = await gather(session, engineKeys);
  return [...new Set([...Object.keys(CLIENT), ...found])].sort();
}

/** Keys of an engine and of its instances. */
async function engineKeys(session: Session): Promise<string[]> {
  const plugin = await session.plugin();
  const { instances, snapshots } = await session.engine();
  const { features } = await session.info();
  const own = [...RESOURCES, BRIDGED, ...(features.has(AUTOSTART) ? [AUTOSTART] : [])];
  const keys = plugin.settings.map(({ key }) => `local.${plugin.name}.${key}`);
  for (const instance of (await instances.list()).filter(({ record }) => !record.deleted)) {
    const disks = (instance.resources.disks ?? []).map(({ name }) => `disk.${name}`);
    keys.push(...[...own, ...disks].map((which) => `local.${instance.name}.${which}`));
    const tree = await snapshots.tree(instance.id);
    for (const { name } of tree.snapshots) {
      keys.push(...SNAPSHOT_KEYS.map((which) => `local.${instance.name}.${name}.${which}`));
    }
  }
  return keys;
}

export async function getSetting(session: Session, text: string): Promise<string> {
  const key = await parseKey(session, text);
  const values = await session.settings();
  switch (key.kind) {
    case "client":
      return values[text] ?? key.default;
    case "engine":
      return values[text] ?? key.setting.default;
    case "resource":
      return String(
        (await getInstance(await locate(session, key.instance), key.instance)).resources[key.which],
      );
    case "disk": {
      const instance = await getInstance(await locate(session, key.instance), key.instance);
      return String((await requireDisk(instance, key.disk)).size);
    }
    case "bridged": {
      const owner = await locate(session, key.instance);
      return String(await isBridged(owner, await getInstance(owner, key.instance)));
    }
    case "autostart":
      return String(await hasAutostart(await locate(session, key.instance), key.instance));
    case "snapshot": {
      const owner = await locate(session, key.ref.instance);
      const instance = await getInstance(owner, key.ref.instance);
      checkName("snapshot", key.ref.snapshot);
      const { snapshots } = await (await owner.engine()).snapshots.tree(instance.id);
      const snapshot = snapshots.find(({ name }) => name === key.ref.snapshot);
      if (snapshot === undefined) {
        throw await snapshotNotFound(key.ref.instance, key.ref.snapshot, () =>
          snapshots.map(({ name }) => name),
        );
      }
      return snapshot[key.which];
    }
  }
}

export async function setSetting(session: Session, text: string, value: string): Promise<void> {
  const key = await parseKey(session, text);
  switch (key.kind) {
    case "client":
    case "engine": {
      const reason = await refusal(session, text, key, value);
      if (reason !== undefined) {
        throw failure("INVALID_VALUE", { what: text, value, reason });
      }
      return session.saveSettings({ ...(await session.settings()), [text]: stored(text, value) });
    }
    case "resource":
      return resize(await locate(session, key.instance), key.instance, readResource(key.which, value));
    case "disk": {
      const disks = [{ name: key.disk, size: parseSize("disk", value) }];
      return resize(await locate(session, key.instance), key.instance, { disks });
    }
    case "bridged":
      return setBridged(await locate(session, key.instance), key.instance, readToggle(key.kind, value));
    case "autostart":
      return setAutostart(await locate(session, key.instance), key.instance, readToggle(key.kind, value));
    case "snapshot":
      checkName("snapshot", key.ref.snapshot);
      return changeSnapshot(await locate(session, key.ref.instance), key.ref, key.which, value);
  }
}

/** A value that was found right, as it is kept: one spelling for all that mean the same. */
function stored(text: string, value: string): string {
  if (text === PRIVILEGED_MOUNTS) {
    return String(readSwitch(value));
  }
  return text === "local.driver" ? engineNamed(value) : value;
}

function changeSnapshot(session: Session, ref: Required<Ref>, which: "name" | "comment", value: string) {
  return which === "name" ? renameSnapshot(session, ref, value) : describeSnapshot(session, ref, value);
}

function readToggle(what: string, value: string): boolean {
  const on = readSwitch(value);
  if (on === undefined) {
    throw failure("INVALID_VALUE", { what, value, reason: SWITCH_FORM });
  }
  return on;
}

function readResource(which: (typeof RESOURCES)[number], value: string) {
  if (which !== "cpus") {
    return { [which]: parseSize(which, value) };
  }
  if (!/^\d{1,6}$/.test(value)) {
    throw failure("INVALID_VALUE", { what: "cpus", value, reason: "must be a whole number, 1 or more" });
  }
  return { cpus: Number(value) };
}

/** Why a value is refused; undefined if it is valid. */
async function refusal(
  session: Session,
  text: string,
  key: Extract<Key, { kind: "client" | "engine" }>,
  value: string,
): Promise<string | undefined> {
  if (key.kind === "engine") {
    return key.setting.validate(value);
  }
  if (text === "client.primary-name") {
    // Without a primary instance, commands need names.
    if (value !== "") {
      checkInstanceName(value);
    }
    return undefined;
  }
  if (text === BRIDGED_NETWORK) {
    return bridgedNetworkRefusal(session, value);
  }
  if (text === PRIVILEGED_MOUNTS) {
    return readSwitch(value) === undefined ? SWITCH_FORM : undefined;
  }
  if (text === IMAGE_MIRROR) {
    const { mirrorRefusal } = await import("../../images/catalogue/remotes.ts");
    return mirrorRefusal(value);
  }
  if (text === IMAGE_STORE) {
    return value === "" || isAbsolute(value) ? undefined : "must be an absolute path, or empty for none";
  }
  if (text === "local.plugins") {
    return pluginsRefusal(session, (await session.settings())[text] ?? key.default, value);
  }
  return driverRefusal(session, engineNamed(value));
}

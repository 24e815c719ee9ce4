import { access } from "node:fs/promises";
import { join } from "node:path";
import type { Check } from "../../engine/contract.ts";
import { asStrataError, type StrataError } from "../../errors.ts";
import type { SettingValues } from "../../settings/store.ts";
import type { Session } from "../session/session.ts";
import { checkImages } from "./check-images.ts";

/** Checks everything that strata needs on this host. Never rejects. */
export async function doctor(session: Session): Promise<Check[]> {
  const settings = await checkSettings(session);
  const node = checkNode();
  try {
    const plugin = await session.plugin();
    const checks = await plugin.check(await session.openOptions(settings.given));
    return [node, ...settings.checks, ...checks, ...(await imageChecks(session))];
  } catch (error) {
    return [node, ...settings.checks, failed("engine", asStrataError(error))];
  }
}

function checkNode(): Check {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const recent = major > 20 || (major === 20 && minor >= 19);
  const fix = recent ? {} : { fix: "strata needs Node.js 20.19 or newer" };
  return { what: "node", ok: recent, detail: process.version, ...fix };
}

/** The check of the settings file if there is one, and the settings to go on with if it is invalid. */
async function checkSettings(
  session: Session,
): Promise<{ readonly checks: readonly Check[]; readonly given?: SettingValues }> {
  const path = join(session.folders.config, "settings.json");
  try {
    await session.settings();
    const exists = await access(path).then(
      () => true,
      () => false,
    );
    return { checks: exists ? [{ what: "settings", ok: true, detail: path }] : [] };
  } catch (error) {
    return { checks: [failed("settings", asStrataError(error))], given: {} };
  }
}

/** None for an engine that accepts any image. */
async function imageChecks(session: Session): Promise<Check[]> {
  const formats = await session.info().then(
    ({ imageFormats }) => imageFormats,
    // Why it does not answer is among the checks already.
    () => ["qcow2"],
  );
  try {
    return formats.includes("any") ? [] : await checkImages(session, formats);
  } catch (error) {
    return [failed("images", asStrataError(error))];
  }
}

function failed(what: string, { message, hint }: StrataError): Check {
  return { what, ok: false, detail: message, ...(hint === undefined ? {} : { fix: hint }) };
}

import { parseDocument } from "yaml";
import { failure, reasonOf } from "../errors.ts";
import { type Config, findLockouts } from "./lockout.ts";

/**
 * Prefixes by which cloud-init recognises kinds of user-data, the longest first; it skips blank lines before
 * them.
 */
const KINDS = [
  "#cloud-config-archive",
  "#cloud-config-jsonp",
  "## template: jinja",
  "#cloud-boothook",
  "#include-once",
  "#part-handler",
  "#cloud-config",
  "#include",
  "#!",
] as const;
type Kind = (typeof KINDS)[number];

/** Types of MIME parts, as far as their contents are checked. */
const CONFIG = "text/cloud-config";
const ARCHIVE = "text/cloud-config-archive";
/** Types whose beginning cloud-init inspects. */
const UNTYPED = ["text/plain", "application/octet-stream", "text/x-not-multipart"];

/** How far cloud-init looks for the header of MIME, bytes. */
const MIME_HEAD = 4096;

/**
 * Checks user-data before anything is created. Rejects with INVALID_VALUE if cloud-init could not read it;
 * resolves to warnings about parts that it would not use, and about settings that would prevent strata from
 * logging in. YAML configs are checked, also in MIME messages and archives; other kinds are left to the
 * guest.
 */
export async function checkUserData(userData: string): Promise<string[]> {
  if (isMime(userData)) {
    const ignored = "cloud-init takes it for MIME only with a header MIME-Version in its first 4096 bytes";
    return [...(hasMimeVersion(userData) ? [] : [ignored]), ...(await checkParts(userData))];
  }
  if (userData.trim() === "") {
    return [];
  }
  const kind = kindOf(userData);
  if (kind !== undefined) {
    return checkKind(kind, kind, userData);
  }
  const later = kindOf(
    userData.replace(/^(?:\s*#(?!!)[^\n]*\n|\s*\n)+?(?=\s*(?:#cloud-|#include|#part-|#!))/, ""),
  );
  if (later !== undefined) {
    return [
      `cloud-init ignores it: before ${later} there may be blank lines, and no comment`,
      ...checkKind(later, later, userData),
    ];
  }
  throw failure("INVALID_VALUE", {
    what: "the cloud-init data",
    value: `${userData.trimStart().slice(0, 30).split("\n")[0]}…`,
    reason: "must begin with a line that says its kind, such as #cloud-config, #! or a MIME header",
  });
}

function isMime(text: string): boolean {
  return /^(?:Content-Type|MIME-Version):/i.test(text) || hasMimeVersion(text);
}

function hasMimeVersion(text: string): boolean {
  return /mime-version:/i.test(Buffer.from(text).toString("latin1", 0, MIME_HEAD));
}

function kindOf(text: string): Kind | undefined {
  const start = text.trimStart().slice(0, 30).toLowerCase();
  return KINDS.find((kind) => start.startsWith(kind));
}

/** Checks a text of that kind; `name` is its name in errors. */
function checkKind(name: string, kind: Kind, text: string): string[] {
  switch (kind) {
    case "#cloud-config":
      return findLockouts(readConfig(name, text));
    case "#cloud-config-archive":
      return checkArchive(name, text);
    case "## template: jinja":
      return checkTemplate(text);
    case "#!":
      return /^\s*#![^\n]*\r\n/.test(text)
        ? ["its first line ends with a carriage return, so Linux will not find the interpreter of the script"]
        : [];
    default:
      return [];
  }
}

async function checkParts(userData: string): Promise<string[]> {
  const { default: PostalMime } = await import("postal-mime");
  const { attachments, text, html } = await PostalMime.parse(userData, {
    attachmentEncoding: "utf8",
  }).catch((error: unknown) => {
    throw refusal("the MIME message", reasonOf(error), error);
  });
  if (attachments.length === 0 && (text ?? html ?? "").trim() === "") {
    throw refusal("the MIME message", "must contain at least one MIME part");
  }
  return attachments.flatMap(({ mimeType, filename, content }, at) =>
    checkPart(`the part ${filename ?? at + 1}`, mimeType.toLowerCase(), String(content)),
  );
}

/** Checks one of several parts. */
function checkPart(name: string, type: string, text: string): string[] {
  if (type === CONFIG) {
    return findLockouts(readConfig(name, text));
  }
  if (type === ARCHIVE) {
    return checkArchive(name, text);
  }
  const kind = UNTYPED.includes(type) ? kindOf(text) : undefined;
  return kind === undefined ? [] : checkKind(name, kind, text);
}

/** A list of parts in YAML: texts, or mappings with a type. */
function checkArchive(name: string, text: string): string[] {
  const parts = readYaml(name, text);
  if (!Array.isArray(parts)) {
    throw refusal(name, "must be a list of parts");
  }
  return parts.flatMap((part: unknown, at) => {
    const own = `the part ${at + 1}`;
    if (typeof part === "string") {
      return checkPart(own, "text/plain", part);
    }
    const { type = CONFIG, content } = Object(part) as { type?: unknown; content?: unknown };
    if (typeof content !== "string") {
      throw refusal(own, "must be a text, or a mapping with a content");
    }
    return checkPart(own, String(type).toLowerCase(), content);
  });
}

/** Only the guest knows the result of a template; if it is YAML as it is, it is checked. */
function checkTemplate(text: string): string[] {
  const body = text.trimStart().replace(/^[^\n]*\n/, "");
  if (kindOf(body) !== "#cloud-config") {
    return [];
  }
  try {
    return findLockouts(readConfig("", body.replace(/\{\{.*?\}\}/g, "x")));
  } catch {
    return [];
  }
}

function readConfig(name: string, text: string): Config {
  const value = readYaml(name, text);
  if (value === null || value === undefined) {
    return {};
  }
  if (typeof value !== "object" || Array.isArray(value)) {
    throw refusal(name, "must be a mapping of keys to values");
  }
  return value as Config;
}

/**
 * Parses YAML as cloud-init does; errors that only appear when aliases are resolved are reported in the same
 * way.
 */
function readYaml(name: string, text: string): unknown {
  const document = parseDocument(text, { version: "1.1", uniqueKeys: false, logLevel: "error" });
  const [error] = document.errors;
  if (error !== undefined) {
    throw refusal(name, error.message, error);
  }
  try {
    return document.toJS();
  } catch (thrown) {
    throw refusal(name, reasonOf(thrown), thrown);
  }
}

function refusal(value: string, reason: string, cause?: unknown) {
  return failure("INVALID_VALUE", { what: "the cloud-init data", value, reason }, cause);
}

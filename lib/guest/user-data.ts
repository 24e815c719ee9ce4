import { parseDocument } from "yaml";
import { failure, reasonOf } from "../errors.ts";

/**
 * Rejects user-data that cloud-init could not read, before anything is made, with INVALID_VALUE. Of MIME,
 * the parts of type text/cloud-config are looked at.
 */
export async function checkUserData(userData: string): Promise<void> {
  if (userData.startsWith("#!")) {
    return;
  }
  if (/^(Content-Type|MIME-Version):/i.test(userData)) {
    return checkParts(userData);
  }
  if (!/^#cloud-config\s*(\n|$)/.test(userData)) {
    throw failure("INVALID_VALUE", {
      what: "the cloud-init data",
      value: `${userData.slice(0, 30).split("\n")[0]}…`,
      reason: "must begin with #cloud-config, #! or a MIME header",
    });
  }
  checkConfig("#cloud-config", userData);
}

async function checkParts(userData: string): Promise<void> {
  const { default: PostalMime } = await import("postal-mime");
  const { attachments, text, html } = await PostalMime.parse(userData, {
    attachmentEncoding: "utf8",
  }).catch((error: unknown) => {
    throw refusal("the MIME message", reasonOf(error), error);
  });
  if (attachments.length === 0 && (text ?? html ?? "").trim() === "") {
    throw refusal("the MIME message", "must contain at least one MIME part");
  }
  for (const [at, { mimeType, filename, content }] of attachments.entries()) {
    if (mimeType.toLowerCase() === "text/cloud-config") {
      checkConfig(`the part ${filename ?? at + 1}`, String(content));
    }
  }
}

function checkConfig(name: string, text: string): void {
  const value = readMapping(name, text);
  if (value !== null && (typeof value !== "object" || Array.isArray(value))) {
    throw refusal(name, "must be a mapping of keys to values");
  }
}

/** The YAML as a value; what only shows when aliases are followed is refused like what shows before. */
function readMapping(name: string, text: string): unknown {
  const document = parseDocument(text);
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

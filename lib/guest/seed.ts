import { parseDocument, stringify } from "yaml";
import type { Seed } from "../backend/contract.ts";
import { failure } from "../errors.ts";

/**
 * cloud-init's NoCloud data of a new instance. Ours is the vendor data, so that the user's own user-data
 * stays whole and has the last word.
 */
export function makeSeed(o: {
  readonly name: string;
  readonly instanceId: string;
  readonly username: string;
  readonly publicKey: string;
  /** `#cloud-config`, a script or MIME. */
  readonly userData?: string;
}): Seed {
  const userData = o.userData ?? "#cloud-config\n{}\n";
  checkUserData(userData);
  const vendor = {
    ssh_authorized_keys: [o.publicKey],
    growpart: { mode: "auto", devices: ["/"], ignore_growroot_disabled: false },
    timezone: "Etc/UTC",
    // Whatever the image's makers call theirs: the user that we log in as.
    ...(o.username === "" ? {} : { system_info: { default_user: { name: o.username } } }),
  };
  return {
    metaData: stringify({ "instance-id": o.instanceId, "local-hostname": o.name }),
    userData,
    // One line a key: the small reader of the micro guest looks for it line by line.
    vendorData: `#cloud-config\n${stringify(vendor, { lineWidth: 0 })}`,
  };
}

/** Rejects user-data that cloud-init could not read, before anything is made. */
export function checkUserData(userData: string): void {
  if (userData.startsWith("#!") || /^(Content-Type|MIME-Version):/i.test(userData)) return;
  if (!/^#cloud-config\s*(\n|$)/.test(userData))
    throw failure("INVALID_VALUE", {
      what: "the cloud-init data",
      value: `${userData.slice(0, 30).split("\n")[0]}…`,
      reason: "it begins with #cloud-config, #! or a MIME header",
    });
  const value = readMapping(userData);
  if (value !== null && (typeof value !== "object" || Array.isArray(value)))
    throw refusal("it is a mapping of keys to values");
}

/** The YAML as a value; what only shows when aliases are followed is refused like what shows before. */
function readMapping(userData: string): unknown {
  const document = parseDocument(userData);
  const [error] = document.errors;
  if (error !== undefined) throw refusal(error.message, error);
  try {
    return document.toJS();
  } catch (thrown) {
    throw refusal(thrown instanceof Error ? thrown.message : String(thrown), thrown);
  }
}

function refusal(reason: string, cause?: unknown) {
  return failure("INVALID_VALUE", { what: "the cloud-init data", value: "#cloud-config", reason }, cause);
}

import { stringify } from "yaml";
import type { Seed } from "../engine/contract.ts";

/**
 * cloud-init's NoCloud data of a new instance. Ours is the vendor data, so that the user's own user-data
 * stays complete and has precedence.
 */
export function makeSeed(o: {
  readonly name: string;
  readonly instanceId: string;
  readonly username: string;
  readonly publicKey: string;
  /** Of any kind that cloud-init knows. */
  readonly userData?: string;
  /** For a guest that has booted with this instance id before: lets the key in all the same, at every boot. */
  readonly admits?: boolean;
}): Seed {
  const userData = o.userData ?? "#cloud-config\n{}\n";
  const vendor = {
    ssh_authorized_keys: [o.publicKey],
    growpart: { mode: "auto", devices: ["/"], ignore_growroot_disabled: false },
    timezone: "Etc/UTC",
    // The user that we log in as, whatever the image calls its default user.
    ...(o.username === "" ? {} : { system_info: { default_user: { name: o.username } } }),
    ...(o.admits === true && o.username !== ""
      ? { bootcmd: [["sh", "-c", ADMIT, "sh", o.username, o.publicKey]] }
      : {}),
  };
  return {
    // The key also here: `ssh_authorized_keys` of the user's takes the place of ours in the vendor data.
    metaData: stringify(
      { "instance-id": o.instanceId, "local-hostname": o.name, "public-keys": [o.publicKey] },
      { lineWidth: 0 },
    ),
    userData,
    // One line per key: the small reader of the micro guest looks for keys line by line.
    vendorData: `#cloud-config\n${stringify(vendor, { lineWidth: 0 })}`,
  };
}

/** Lets a key in for a user of the guest, with what the smallest guest has. */
const ADMIT = `home=$(sed -n "s/^$1:[^:]*:[^:]*:[^:]*:[^:]*:\\([^:]*\\):.*/\\1/p" /etc/passwd)
[ -n "$home" ] || exit 0
keys=$home/.ssh/authorized_keys
grep -qxsF "$2" "$keys" && exit 0
mkdir -p "$home/.ssh" && printf "%s\\n" "$2" >>"$keys" && chmod 700 "$home/.ssh" && chmod 600 "$keys" && chown -R "$1" "$home/.ssh"`;

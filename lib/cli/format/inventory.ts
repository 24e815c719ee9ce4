import type { SshLogin } from "../../core/api/strata.ts";
import { sshOptions } from "../../guest/ssh-config.ts";
import { quote } from "../../util/quote.ts";
import { json } from "./format.ts";

/** Variables with which Ansible logs in to a guest. */
function variables(login: SshLogin): Record<string, string | number> {
  // Ansible has variables of its own for the others.
  const options = sshOptions(login).filter(
    ([key]) => !["HostName", "Port", "User", "IdentityFile"].includes(key),
  );
  return {
    ansible_host: login.host,
    ansible_port: login.port,
    ansible_user: login.username,
    ansible_ssh_private_key_file: login.identityFile,
    ansible_ssh_common_args: options.map(([key, value]) => `-o ${quote(`${key}=${value}`)}`).join(" "),
  };
}

/** An inventory of Ansible with all logins in the group "strata". */
export function formatInventory(logins: readonly SshLogin[]): string {
  return json({
    _meta: { hostvars: Object.fromEntries(logins.map((login) => [login.instance, variables(login)])) },
    all: { children: ["strata"] },
    strata: { hosts: logins.map(({ instance }) => instance) },
  });
}

/** The variables of one host. */
export function formatHost(login: SshLogin): string {
  return json(variables(login));
}

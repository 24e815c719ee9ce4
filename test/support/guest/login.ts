import { makeKeyPair } from "../../../lib/guest/keys.ts";
import { type Guest, type GuestOptions, openGuest } from "../../../lib/guest/ssh.ts";
import type { SshServer } from "./ssh-server.ts";

/** The keys that a test's server lets in. */
export const keys = makeKeyPair();

/** Logs in to a test's server, with these options besides. */
export function logIn(server: SshServer, options: Partial<GuestOptions> = {}): Promise<Guest> {
  const { endpoint, hostKey } = server;
  return openGuest({
    name: "web",
    username: "ubuntu",
    privateKey: keys.private,
    endpoint,
    hostKey,
    ...options,
  });
}

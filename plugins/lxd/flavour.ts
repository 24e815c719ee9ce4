/** What differs between LXD and Incus, which have one API: names, paths, and what a user types. */
export interface Flavour {
  /** The plugin's name. Named after it are the settings, `local.NAME.KEY`, and the folder of the client's certificate. */
  readonly name: string;
  /** In messages. */
  readonly title: string;
  /** Its own client. */
  readonly client: string;
  /** Installs the server on this host and sets it up. */
  readonly setup: string;
  /** Has a server trust a client's certificate in FILE. */
  readonly trust: string;
  /** Whose members may use the socket. */
  readonly group: string;
  /** How a user would name a new bridge. */
  readonly bridge: string;
  /** Paths of the server's socket, in search order. */
  readonly sockets: readonly string[];
  /** Variables that name another socket, or the folder that has it. */
  readonly variables: { readonly socket: string; readonly folder: string };
}

export const LXD: Flavour = {
  name: "lxd",
  title: "LXD",
  client: "lxc",
  setup: "apt-get install lxd, then: lxd init",
  trust: "lxc config trust add FILE",
  group: "lxd",
  bridge: "lxdbr0",
  sockets: ["/var/lib/lxd/unix.socket", "/var/snap/lxd/common/lxd/unix.socket"],
  variables: { socket: "LXD_SOCKET", folder: "LXD_DIR" },
};

export const INCUS: Flavour = {
  name: "incus",
  title: "Incus",
  client: "incus",
  setup: "apt-get install incus, then: incus admin init",
  trust: "incus config trust add-certificate FILE",
  group: "incus-admin",
  bridge: "incusbr0",
  sockets: ["/var/lib/incus/unix.socket", "/run/incus/unix.socket"],
  variables: { socket: "INCUS_SOCKET", folder: "INCUS_DIR" },
};

export const FLAVOURS: readonly Flavour[] = [LXD, INCUS];

import type { InstanceNames } from "./instances.ts";
import type { CallOptions } from "./session.ts";

/** How programs beside strata log in to a running instance. */
export interface SshLogin {
  /** Name of the instance. */
  readonly instance: string;
  /** What it is called in the configuration of ssh: `web.strata`. */
  readonly alias: string;
  /** Name of its engine. */
  readonly engine: string;
  /** Address of its sshd. */
  readonly host: string;
  /** Port of its sshd. */
  readonly port: number;
  /** The user to log in as. */
  readonly username: string;
  /** File with the private key. */
  readonly identityFile: string;
  /** File with the host key, by the alias. */
  readonly knownHostsFile: string;
  /** The host key as it was pinned at first contact, `type base64`. */
  readonly hostKey: string;
}

/** A port of an instance that this host offers, until it is disposed of or its signal fires. */
export interface PortForward extends AsyncDisposable {
  /** Address of this host that it listens on. */
  readonly address: string;
  /** Port of this host that it listens on. */
  readonly port: number;
  /** Resolves when it has ended. */
  readonly closed: Promise<void>;
}

/** Options of {@link StrataSsh.forward}. */
export interface ForwardOptions extends CallOptions {
  /** Port in the instance. */
  readonly to: number;
  /**
   * Host that the instance connects to, as it is known there.
   *
   * @default "localhost"
   */
  readonly toHost?: string;
  /**
   * Port of this host; 0 for one that is free.
   *
   * @default the port in the instance
   */
  readonly port?: number;
  /**
   * Address of this host to listen on.
   *
   * @default "127.0.0.1": nobody reaches it from elsewhere
   */
  readonly address?: string;
}

/** Logins to instances for ssh and what is built on it, and ports that are reached through it. */
export interface StrataSsh {
  /**
   * How to log in to running instances, by name. A host key that is not pinned yet is now.
   *
   * @param names - by default all that run and can be logged in to
   * @throws for named ones INSTANCE_NOT_FOUND, WRONG_STATE, NO_LOGIN, GUEST_UNREACHABLE, UNSUPPORTED where the
   * engine runs commands without ssh
   */
  logins(names?: InstanceNames, options?: CallOptions): Promise<SshLogin[]>;
  /**
   * The same as a configuration of ssh.
   *
   * @throws as `logins`
   */
  config(names?: InstanceNames, options?: CallOptions): Promise<string>;
  /**
   * Keeps the configuration of all running instances in a file that the user's own includes, and has every
   * later call that changes where they are write it anew.
   *
   * @returns the file
   * @throws FILE_NOT_OURS, FOLDER_UNUSABLE
   */
  include(options?: CallOptions): Promise<{ readonly path: string }>;
  /**
   * Ends what `include` began, and takes its lines from the user's configuration.
   *
   * @throws FILE_NOT_OURS, FOLDER_UNUSABLE
   */
  exclude(): Promise<void>;
  /**
   * Offers a port of an instance on this host. The instance need not run yet: connections are refused until it
   * does, and made again after it was restarted.
   *
   * @throws INSTANCE_NOT_FOUND, NO_LOGIN, UNSUPPORTED as `logins`, PORT_TAKEN, INVALID_VALUE
   */
  forward(instance: string, options: ForwardOptions): Promise<PortForward>;
}

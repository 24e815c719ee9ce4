import type { CallLimits } from "../limits.ts";
import type { ResultOf } from "../procedures/index.ts";
import { DomainDevices } from "./devices.ts";

/**
 * What the guest itself answers, through its agent above all. Without a channel for the agent, libvirt
 * refuses with ARGUMENT_UNSUPPORTED; with one that nobody listens on, with AGENT_UNRESPONSIVE.
 */
export class DomainGuest extends DomainDevices {
  /** Addresses of the interfaces from an `InterfaceAddressesSource`. */
  async interfaceAddresses(
    source: number,
    limits: CallLimits = {},
  ): Promise<ResultOf<"domain_interface_addresses">["ifaces"]> {
    const args = { ...this.dom, source, flags: 0 };
    return (await this.connection.call("domain_interface_addresses", args, limits)).ifaces;
  }

  /**
   * Sends JSON to the guest agent.
   * @param timeout - how long libvirt waits for the agent: seconds, or an `AgentTimeout`
   */
  async agentCommand(command: string, timeout = -1, limits: CallLimits = {}): Promise<string | null> {
    const args = { ...this.dom, cmd: command, timeout, flags: 0 };
    return (await this.connection.call("domain_agent_command", args, limits)).result;
  }

  /** How long libvirt waits for the agent in calls that name no time: seconds, or an `AgentTimeout`. */
  async agentSetResponseTimeout(timeout: number, limits: CallLimits = {}): Promise<void> {
    await this.connection.call(
      "domain_agent_set_response_timeout",
      { ...this.dom, timeout, flags: 0 },
      limits,
    );
  }

  /**
   * Has the guest write out and freeze its file systems, until `fsThaw`.
   * @param mountpoints - paths in the guest; all by default
   * @returns how many are frozen
   */
  async fsFreeze(mountpoints: readonly string[] = [], limits: CallLimits = {}): Promise<number> {
    const args = { ...this.dom, mountpoints: [...mountpoints], flags: 0 };
    return (await this.connection.call("domain_fsfreeze", args, limits)).filesystems;
  }

  /**
   * Lets frozen file systems go on. The agent has no choice of them: QEMU's driver rejects mount points with
   * ARGUMENT_UNSUPPORTED.
   * @returns how many went on
   */
  async fsThaw(mountpoints: readonly string[] = [], limits: CallLimits = {}): Promise<number> {
    const args = { ...this.dom, mountpoints: [...mountpoints], flags: 0 };
    return (await this.connection.call("domain_fsthaw", args, limits)).filesystems;
  }

  /**
   * Has the guest discard unused blocks.
   * @param mountPoint - path in the guest; null for all
   * @param minimum - bytes: free ranges that are shorter stay
   */
  async fsTrim(mountPoint: string | null = null, minimum = 0n, limits: CallLimits = {}): Promise<void> {
    await this.connection.call("domain_fstrim", { ...this.dom, mountPoint, minimum, flags: 0 }, limits);
  }

  /** The guest's file systems and the disks that they are on. */
  async getFsInfo(limits: CallLimits = {}): Promise<ResultOf<"domain_get_fsinfo">["info"]> {
    return (await this.connection.call("domain_get_fsinfo", { ...this.dom, flags: 0 }, limits)).info;
  }

  /** The guest's clock: seconds since the epoch, and ns of the second. */
  getTime(limits: CallLimits = {}): Promise<ResultOf<"domain_get_time">> {
    return this.connection.call("domain_get_time", { ...this.dom, flags: 0 }, limits);
  }

  /**
   * Sets the guest's clock.
   * @param seconds - since the epoch; ignored with `SetTimeFlags.SYNC`, which has it read its RTC
   * @param nseconds - ns of the second, where the guest can
   * @param flags - `SetTimeFlags`
   */
  async setTime(seconds: bigint, nseconds = 0, flags = 0, limits: CallLimits = {}): Promise<void> {
    await this.connection.call("domain_set_time", { ...this.dom, seconds, nseconds, flags }, limits);
  }
}

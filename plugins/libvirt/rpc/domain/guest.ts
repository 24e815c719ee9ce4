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
}

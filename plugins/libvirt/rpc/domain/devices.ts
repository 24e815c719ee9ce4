import type { Duplex } from "node:stream";
import type { CallLimits } from "../limits.ts";
import type { ArgumentsOf, ResultOf } from "../procedures/index.ts";
import { openDuplex } from "../stream-duplex.ts";
import { DomainPower } from "./power.ts";

/** The devices of a domain and the jobs on its disks. */
export class DomainDevices extends DomainPower {
  /** Flags are `VcpuFlags`. */
  async setVcpus(nvcpus: number, flags = 0, limits: CallLimits = {}): Promise<void> {
    await this.connection.call("domain_set_vcpus_flags", { ...this.dom, nvcpus, flags }, limits);
  }

  /** KiB. Flags are `MemoryFlags`. */
  async setMemory(memory: bigint, flags = 0, limits: CallLimits = {}): Promise<void> {
    await this.connection.call("domain_set_memory_flags", { ...this.dom, memory, flags }, limits);
  }

  /** Flags are `DeviceModifyFlags`. */
  async attachDevice(xml: string, flags = 0, limits: CallLimits = {}): Promise<void> {
    await this.connection.call("domain_attach_device_flags", { ...this.dom, xml, flags }, limits);
  }

  /** Of a running domain it asks the guest; the event `deviceRemoved` tells when the device is gone. */
  async detachDevice(xml: string, flags = 0, limits: CallLimits = {}): Promise<void> {
    await this.connection.call("domain_detach_device_flags", { ...this.dom, xml, flags }, limits);
  }

  /** Flags are `DeviceModifyFlags`. */
  async updateDevice(xml: string, flags = 0, limits: CallLimits = {}): Promise<void> {
    await this.connection.call("domain_update_device_flags", { ...this.dom, xml, flags }, limits);
  }

  /** Allocation, capacity and physical size of a disk, bytes. */
  blockInfo(path: string, limits: CallLimits = {}): Promise<ResultOf<"domain_get_block_info">> {
    return this.connection.call("domain_get_block_info", { ...this.dom, path, flags: 0 }, limits);
  }

  /** KiB, or bytes with `BlockResizeFlags.BYTES`. */
  async blockResize(disk: string, size: bigint, flags = 0, limits: CallLimits = {}): Promise<void> {
    await this.connection.call("domain_block_resize", { ...this.dom, disk, size, flags }, limits);
  }

  /** Begins to fill a disk's top layer from the ones below; the limit is MiB/s, 0 for none. Flags are `BlockPullFlags`. */
  async blockPull(path: string, bandwidth = 0n, flags = 0, limits: CallLimits = {}): Promise<void> {
    await this.connection.call("domain_block_pull", { ...this.dom, path, bandwidth, flags }, limits);
  }

  /** Begins to merge layers of a disk downwards; the limit is MiB/s, 0 for none. Flags are `BlockCommitFlags`. */
  async blockCommit(
    args: Omit<ArgumentsOf<"domain_block_commit">, "dom">,
    limits: CallLimits = {},
  ): Promise<void> {
    await this.connection.call("domain_block_commit", { ...this.dom, ...args }, limits);
  }

  /** Ends the job on a disk. Flags are `BlockJobAbortFlags`. */
  async blockJobAbort(path: string, flags = 0, limits: CallLimits = {}): Promise<void> {
    await this.connection.call("domain_block_job_abort", { ...this.dom, path, flags }, limits);
  }

  /** The job on a disk; `found` is 0 where there is none. */
  blockJobInfo(path: string, limits: CallLimits = {}): Promise<ResultOf<"domain_get_block_job_info">> {
    return this.connection.call("domain_get_block_job_info", { ...this.dom, path, flags: 0 }, limits);
  }

  /**
   * Opens a serial or parallel port, or the console: what the guest writes is read from the stream, and
   * `end()` leaves it. The stream ends with the domain, and with the signal.
   * @param device - alias of the device; the first console by default
   * @param flags - `ConsoleFlags`: FORCE takes it from another client, SAFE asks that none can interfere
   */
  openConsole(device: string | null = null, flags = 0, limits: CallLimits = {}): Promise<Duplex> {
    const args = { ...this.dom, dev_name: device, flags };
    return openDuplex(this.connection, "domain_open_console", args, limits);
  }

  /**
   * Opens a channel of the guest, as `openConsole` does.
   * @param channel - the name of its target, such as "org.example.0"; the first channel by default
   */
  openChannel(channel: string | null = null, flags = 0, limits: CallLimits = {}): Promise<Duplex> {
    const args = { ...this.dom, name: channel, flags };
    return openDuplex(this.connection, "domain_open_channel", args, limits);
  }
}

import { isCode } from "../error-test.ts";
import { type CallLimits, LONG_CALL_MS } from "../limits.ts";
import { type SaveParameters, saveParameters } from "../saved-state.ts";
import { DomainObject } from "./handle.ts";

/** Starting and stopping a domain. */
export class DomainPower extends DomainObject {
  /** Starts it; resumes a managed save. Flags are `CreateFlags`. */
  async create(flags = 0, limits: CallLimits = {}): Promise<void> {
    const args = { ...this.dom, flags };
    await this.connection.call("domain_create_with_flags", args, { timeout: LONG_CALL_MS, ...limits });
  }

  /** Asks the guest to shut down; does not wait. Flags are `ShutdownFlags`. */
  async shutdown(flags = 0, limits: CallLimits = {}): Promise<void> {
    await this.connection.call("domain_shutdown_flags", { ...this.dom, flags }, limits);
  }

  /** Cuts the power. Flags are `DestroyFlags`. */
  async destroy(flags = 0, limits: CallLimits = {}): Promise<void> {
    await this.connection.call("domain_destroy_flags", { ...this.dom, flags }, limits);
  }

  /** Removes the definition. Flags are `UndefineFlags`: what else goes or stays with it. */
  async undefine(flags = 0, limits: CallLimits = {}): Promise<void> {
    await this.connection.call("domain_undefine_flags", { ...this.dom, flags }, limits);
  }

  /** Asks the guest to restart; does not wait. Flags are `RebootFlags`. */
  async reboot(flags = 0, limits: CallLimits = {}): Promise<void> {
    await this.connection.call("domain_reboot", { ...this.dom, flags }, limits);
  }

  /** Pauses the virtual CPUs. */
  async suspend(limits: CallLimits = {}): Promise<void> {
    await this.connection.call("domain_suspend", this.dom, limits);
  }

  /** Lets paused virtual CPUs run. */
  async resume(limits: CallLimits = {}): Promise<void> {
    await this.connection.call("domain_resume", this.dom, limits);
  }

  /** Writes the memory to a file that the next start resumes from, and stops. Flags are `SaveRestoreFlags`. */
  async managedSave(flags = 0, limits: CallLimits = {}): Promise<void> {
    const args = { ...this.dom, flags };
    await this.connection.call("domain_managed_save", args, { timeout: LONG_CALL_MS, ...limits });
  }

  /**
   * Writes the memory to a file of the caller's, and stops; `connection.restoreDomain` resumes from it.
   * @param path - the file; libvirt makes it
   * @param xml - what the domain is to be defined as when it is restored
   * @param flags - `SaveRestoreFlags`
   */
  async save(path: string, xml: string | null = null, flags = 0, limits: CallLimits = {}): Promise<void> {
    const args = { ...this.dom, to: path, dxml: xml, flags };
    await this.connection.call("domain_save_flags", args, { timeout: LONG_CALL_MS, ...limits });
  }

  /** As `save`, with parameters for more than paths. Flags are `SaveRestoreFlags`. */
  async saveParams(params: SaveParameters, flags = 0, limits: CallLimits = {}): Promise<void> {
    const args = { ...this.dom, params: saveParameters(params), flags };
    await this.connection.call("domain_save_params", args, { timeout: LONG_CALL_MS, ...limits });
  }

  async hasManagedSaveImage(limits: CallLimits = {}): Promise<boolean> {
    const args = { ...this.dom, flags: 0 };
    return (await this.connection.call("domain_has_managed_save_image", args, limits)).result !== 0;
  }

  async managedSaveRemove(limits: CallLimits = {}): Promise<void> {
    await this.connection.call("domain_managed_save_remove", { ...this.dom, flags: 0 }, limits);
  }

  /** The definition that a managed save starts with; null where there is none. Flags are `SaveImageXmlFlags`. */
  async managedSaveXml(flags = 0, limits: CallLimits = {}): Promise<string | null> {
    try {
      const args = { ...this.dom, flags };
      return (await this.connection.call("domain_managed_save_get_xml_desc", args, limits)).xml;
    } catch (error) {
      if (isCode(error, "OPERATION_INVALID")) {
        return null;
      }
      throw error;
    }
  }

  /**
   * Changes the definition that a managed save starts with, where that is possible for memory as it is.
   * Flags are RUNNING or PAUSED of `SaveRestoreFlags`: the state to start in.
   */
  async managedSaveDefineXml(xml: string, flags = 0, limits: CallLimits = {}): Promise<void> {
    const args = { ...this.dom, dxml: xml, flags };
    await this.connection.call("domain_managed_save_define_xml", args, limits);
  }

  /** Starts it with the host, or not. */
  async setAutostart(autostart: boolean, limits: CallLimits = {}): Promise<void> {
    const args = { ...this.dom, autostart: autostart ? 1 : 0 };
    await this.connection.call("domain_set_autostart", args, limits);
  }

  async getAutostart(limits: CallLimits = {}): Promise<boolean> {
    return (await this.connection.call("domain_get_autostart", this.dom, limits)).autostart !== 0;
  }
}

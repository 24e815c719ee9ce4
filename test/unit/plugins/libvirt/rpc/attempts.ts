import {
  type CallLimits,
  Connection,
  Domain,
  DomainCheckpoint,
  DomainSnapshot,
  Network,
  StoragePool,
  StorageVolume,
} from "../../../../../plugins/libvirt/rpc/index.ts";

const UUID = "00000000-0000-4000-8000-000000000001";

/** A call with limits, which nobody answers. */
export type Attempt = (limits: CallLimits) => Promise<unknown>;

/** Every method of a class that asks the daemon, called with limits as its last argument. */
type Attempts = Readonly<Record<string, Attempt>>;

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** All that the binding can ask a daemon for. */
export const CLASSES: readonly {
  readonly type: { readonly prototype: object };
  /** What the README calls an object of it. */
  readonly noun: string;
  /** Methods that ask nobody. */
  readonly local: readonly string[];
  attempts(connection: Connection): Attempts;
}[] = [
  {
    type: Connection,
    noun: "connection",
    // `close` has a limit of its own, and `limitsOf` only merges.
    local: ["close", "domainOfUuid", "limitsOf", "recover", "reopen"],
    attempts: (c) => ({
      allDomainStats: (l) => c.allDomainStats(1, 0, [], l),
      call: (l) => c.call("connect_get_uri", {}, l),
      capabilities: (l) => c.capabilities(l),
      defineDomain: (l) => c.defineDomain("<domain/>", 0, l),
      defineNetwork: (l) => c.defineNetwork("<network/>", l),
      defineStoragePool: (l) => c.defineStoragePool("<pool/>", l),
      domainCapabilities: (l) => c.domainCapabilities({}, l),
      domainEvents: (l) => c.domainEvents("lifecycle", l),
      freeMemory: (l) => c.freeMemory(l),
      hostname: (l) => c.hostname(l),
      hypervisorVersion: (l) => c.hypervisorVersion(l),
      libVersion: (l) => c.libVersion(l),
      listDomains: (l) => c.listDomains(0, l),
      listNetworks: (l) => c.listNetworks(0, l),
      listStoragePools: (l) => c.listStoragePools(0, l),
      lookupDomainByName: (l) => c.lookupDomainByName("d", l),
      lookupDomainByUuid: (l) => c.lookupDomainByUuid(UUID, l),
      lookupNetworkByName: (l) => c.lookupNetworkByName("n", l),
      lookupStoragePoolByName: (l) => c.lookupStoragePoolByName("p", l),
      nodeInfo: (l) => c.nodeInfo(l),
      restoreDomain: (l) => c.restoreDomain("/f", null, 0, l),
      restoreDomainParams: (l) => c.restoreDomainParams({ file: "/f" }, 0, l),
      saveImageDefineXml: (l) => c.saveImageDefineXml("/f", "<domain/>", 0, l),
      saveImageXml: (l) => c.saveImageXml("/f", 0, l),
      totalMemory: (l) => c.totalMemory(l),
    }),
  },
  {
    type: Domain,
    noun: "domain",
    local: ["checkpointOfName", "snapshotOfName"],
    attempts: (c) => {
      const d = c.domainOfUuid(UUID);
      return {
        abortJob: (l) => d.abortJob(0, l),
        agentSetResponseTimeout: (l) => d.agentSetResponseTimeout(5, l),
        backupBegin: (l) => d.backupBegin("<domainbackup/>", null, 0, l),
        backupXml: (l) => d.backupXml(l),
        createCheckpoint: (l) => d.createCheckpoint("<domaincheckpoint/>", 0, l),
        fsFreeze: (l) => d.fsFreeze([], l),
        fsThaw: (l) => d.fsThaw([], l),
        fsTrim: (l) => d.fsTrim(null, 0n, l),
        getFsInfo: (l) => d.getFsInfo(l),
        getJobInfo: (l) => d.getJobInfo(l),
        getJobStats: (l) => d.getJobStats(0, l),
        getTime: (l) => d.getTime(l),
        lookupCheckpoint: (l) => d.lookupCheckpoint("c", l),
        managedSaveDefineXml: (l) => d.managedSaveDefineXml("<domain/>", 0, l),
        openChannel: (l) => d.openChannel(null, 0, l),
        openConsole: (l) => d.openConsole(null, 0, l),
        save: (l) => d.save("/f", null, 0, l),
        saveParams: (l) => d.saveParams({ file: "/f" }, 0, l),
        setTime: (l) => d.setTime(0n, 0, 0, l),
        agentCommand: (l) => d.agentCommand("{}", -1, l),
        attachDevice: (l) => d.attachDevice("<disk/>", 0, l),
        blockCommit: (l) => d.blockCommit({ disk: "vda", base: null, top: null, bandwidth: 0n, flags: 0 }, l),
        blockInfo: (l) => d.blockInfo("vda", l),
        blockJobAbort: (l) => d.blockJobAbort("vda", 0, l),
        blockJobInfo: (l) => d.blockJobInfo("vda", l),
        blockPull: (l) => d.blockPull("vda", 0n, 0, l),
        blockResize: (l) => d.blockResize("vda", 1n, 0, l),
        create: (l) => d.create(0, l),
        createSnapshot: (l) => d.createSnapshot("<domainsnapshot/>", 0, l),
        currentSnapshot: (l) => d.currentSnapshot(l),
        destroy: (l) => d.destroy(0, l),
        detachDevice: (l) => d.detachDevice("<disk/>", 0, l),
        getAutostart: (l) => d.getAutostart(l),
        getInfo: (l) => d.getInfo(l),
        getMetadata: (l) => d.getMetadata(2, "urn:x", 0, l),
        getState: (l) => d.getState(l),
        getXml: (l) => d.getXml(0, l),
        hasManagedSaveImage: (l) => d.hasManagedSaveImage(l),
        interfaceAddresses: (l) => d.interfaceAddresses(0, l),
        isActive: (l) => d.isActive(l),
        isPersistent: (l) => d.isPersistent(l),
        listCheckpoints: (l) => d.listCheckpoints(0, l),
        listSnapshots: (l) => d.listSnapshots(0, l),
        lookupSnapshot: (l) => d.lookupSnapshot("s", l),
        managedSave: (l) => d.managedSave(0, l),
        managedSaveRemove: (l) => d.managedSaveRemove(l),
        managedSaveXml: (l) => d.managedSaveXml(0, l),
        reboot: (l) => d.reboot(0, l),
        rename: (l) => d.rename("e", l),
        resume: (l) => d.resume(l),
        setAutostart: (l) => d.setAutostart(true, l),
        setMemory: (l) => d.setMemory(1n, 0, l),
        setMetadata: (l) => d.setMetadata(0, null, null, null, 0, l),
        setVcpus: (l) => d.setVcpus(1, 0, l),
        shutdown: (l) => d.shutdown(0, l),
        snapshotCount: (l) => d.snapshotCount(0, l),
        suspend: (l) => d.suspend(l),
        undefine: (l) => d.undefine(0, l),
        updateDevice: (l) => d.updateDevice("<disk/>", 0, l),
      };
    },
  },
  {
    type: DomainSnapshot,
    noun: "snapshot",
    local: [],
    attempts: (c) => {
      const s = c.domainOfUuid(UUID).snapshotOfName("s");
      return {
        delete: (l) => s.delete(0, l),
        getParent: (l) => s.getParent(l),
        getXml: (l) => s.getXml(0, l),
        isCurrent: (l) => s.isCurrent(l),
        listChildren: (l) => s.listChildren(0, l),
        revert: (l) => s.revert(0, l),
      };
    },
  },
  {
    type: DomainCheckpoint,
    noun: "checkpoint",
    local: [],
    attempts: (c) => {
      const p = c.domainOfUuid(UUID).checkpointOfName("c");
      return {
        delete: (l) => p.delete(0, l),
        getParent: (l) => p.getParent(l),
        getXml: (l) => p.getXml(0, l),
        listChildren: (l) => p.listChildren(0, l),
      };
    },
  },
  {
    type: Network,
    noun: "network",
    local: [],
    attempts: (c) => {
      const n = new Network(c, { name: "n", uuid: UUID });
      return {
        bridgeName: (l) => n.bridgeName(l),
        create: (l) => n.create(l),
        destroy: (l) => n.destroy(l),
        dhcpLeases: (l) => n.dhcpLeases(null, l),
        getAutostart: (l) => n.getAutostart(l),
        getXml: (l) => n.getXml(0, l),
        isActive: (l) => n.isActive(l),
        isPersistent: (l) => n.isPersistent(l),
        setAutostart: (l) => n.setAutostart(true, l),
        undefine: (l) => n.undefine(l),
      };
    },
  },
  {
    type: StoragePool,
    noun: "pool",
    local: [],
    attempts: (c) => {
      const p = new StoragePool(c, { name: "p", uuid: UUID });
      return {
        build: (l) => p.build(0, l),
        create: (l) => p.create(0, l),
        createVolume: (l) => p.createVolume("<volume/>", 0, l),
        destroy: (l) => p.destroy(l),
        getInfo: (l) => p.getInfo(l),
        getXml: (l) => p.getXml(0, l),
        isActive: (l) => p.isActive(l),
        listVolumes: (l) => p.listVolumes(l),
        lookupVolumeByName: (l) => p.lookupVolumeByName("v", l),
        refresh: (l) => p.refresh(l),
        setAutostart: (l) => p.setAutostart(true, l),
        undefine: (l) => p.undefine(l),
      };
    },
  },
  {
    type: StorageVolume,
    noun: "volume",
    local: [],
    attempts: (c) => {
      const v = new StorageVolume(c, { pool: "p", name: "v", key: "/v" });
      return {
        delete: (l) => v.delete(l),
        download: (l) => v.download({}, l).next(),
        getInfo: (l) => v.getInfo(l),
        getPath: (l) => v.getPath(l),
        getXml: (l) => v.getXml(l),
        resize: (l) => v.resize(1n, 0, l),
        upload: (l) => v.upload(nothing(), {}, l),
      };
    },
  },
];

/** Names of the methods of a class and of those it stands on. */
export function methodsOf(prototype: object): string[] {
  const found = new Set<string>();
  for (let at: object = prototype; at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (typeof value === "function" && name !== "constructor") {
        found.add(name);
      }
    }
  }
  return [...found].sort();
}

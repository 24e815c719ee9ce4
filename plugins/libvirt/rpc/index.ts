export type { CallLimits } from "./client.ts";
export {
  type ArgumentsOf,
  Connection,
  type ConnectOptions,
  connect,
  type ProcedureName,
  type ResultOf,
  type Version,
} from "./connection.ts";
export * from "./constants/index.ts";
export { Domain } from "./domain/domain.ts";
export { DomainSnapshot } from "./domain/snapshot.ts";
export { CallTimeoutError, ConnectionLostError, LibvirtError } from "./errors.ts";
export type { Gap } from "./event-queue.ts";
export type { DomainEvent, DomainEventKind } from "./events.ts";
export { type DhcpLease, Network } from "./network.ts";
export { StoragePool } from "./storage-pool.ts";
export { StorageVolume } from "./storage-volume.ts";
export type { ParameterValue } from "./structures.ts";
export { ProtocolError } from "./xdr.ts";

import { domain, typedParameter } from "../structures.ts";
import { array, i32, i64, nullable, string, struct, u32, u64 } from "../xdr.ts";

/** Events of domains: the message that carries each, its id for the registration, its fields. */
export const domainEvents = {
  lifecycle: {
    procedure: 318,
    id: 0,
    fields: struct({ callbackID: i32, dom: domain, event: i32, detail: i32 }),
  },
  reboot: { procedure: 319, id: 1, fields: struct({ callbackID: i32, dom: domain }) },
  rtcChange: { procedure: 320, id: 2, fields: struct({ callbackID: i32, dom: domain, offset: i64 }) },
  watchdog: { procedure: 321, id: 3, fields: struct({ callbackID: i32, dom: domain, action: i32 }) },
  ioError: {
    procedure: 322,
    id: 4,
    fields: struct({ callbackID: i32, dom: domain, srcPath: string, devAlias: string, action: i32 }),
  },
  ioErrorReason: {
    procedure: 324,
    id: 6,
    fields: struct({
      callbackID: i32,
      dom: domain,
      srcPath: string,
      devAlias: string,
      action: i32,
      reason: string,
    }),
  },
  controlError: { procedure: 325, id: 7, fields: struct({ callbackID: i32, dom: domain }) },
  blockJob: {
    procedure: 326,
    id: 8,
    fields: struct({ callbackID: i32, dom: domain, path: string, type: i32, status: i32 }),
  },
  diskChange: {
    procedure: 327,
    id: 9,
    fields: struct({
      callbackID: i32,
      dom: domain,
      oldSrcPath: nullable(string),
      newSrcPath: nullable(string),
      devAlias: string,
      reason: i32,
    }),
  },
  trayChange: {
    procedure: 328,
    id: 10,
    fields: struct({ callbackID: i32, dom: domain, devAlias: string, reason: i32 }),
  },
  pmwakeup: { procedure: 329, id: 11, fields: struct({ callbackID: i32, reason: i32, dom: domain }) },
  pmsuspend: { procedure: 330, id: 12, fields: struct({ callbackID: i32, reason: i32, dom: domain }) },
  balloonChange: { procedure: 331, id: 13, fields: struct({ callbackID: i32, dom: domain, actual: u64 }) },
  pmsuspendDisk: { procedure: 332, id: 14, fields: struct({ callbackID: i32, reason: i32, dom: domain }) },
  deviceRemoved: {
    procedure: 333,
    id: 15,
    fields: struct({ callbackID: i32, dom: domain, devAlias: string }),
  },
  blockJob2: {
    procedure: 339,
    id: 16,
    fields: struct({ callbackID: i32, dom: domain, dst: string, type: i32, status: i32 }),
  },
  tunable: {
    procedure: 346,
    id: 17,
    fields: struct({ callbackID: i32, dom: domain, params: array(typedParameter, 2048) }),
  },
  agentLifecycle: {
    procedure: 348,
    id: 18,
    fields: struct({ callbackID: i32, dom: domain, state: i32, reason: i32 }),
  },
  deviceAdded: { procedure: 354, id: 19, fields: struct({ callbackID: i32, dom: domain, devAlias: string }) },
  migrationIteration: {
    procedure: 359,
    id: 20,
    fields: struct({ callbackID: i32, dom: domain, iteration: i32 }),
  },
  jobCompleted: {
    procedure: 363,
    id: 21,
    fields: struct({ callbackID: i32, dom: domain, params: array(typedParameter, 64) }),
  },
  deviceRemovalFailed: {
    procedure: 367,
    id: 22,
    fields: struct({ callbackID: i32, dom: domain, devAlias: string }),
  },
  metadataChange: {
    procedure: 379,
    id: 23,
    fields: struct({ callbackID: i32, dom: domain, type: i32, nsuri: nullable(string) }),
  },
  blockThreshold: {
    procedure: 385,
    id: 24,
    fields: struct({
      callbackID: i32,
      dom: domain,
      dev: string,
      path: nullable(string),
      threshold: u64,
      excess: u64,
    }),
  },
  memoryFailure: {
    procedure: 423,
    id: 25,
    fields: struct({ callbackID: i32, dom: domain, recipient: i32, action: i32, flags: u32 }),
  },
  memoryDeviceSizeChange: {
    procedure: 438,
    id: 26,
    fields: struct({ callbackID: i32, dom: domain, alias: string, size: u64 }),
  },
};

import {
  array,
  double,
  i32,
  i64,
  nullable,
  ProtocolError,
  string,
  struct,
  type Type,
  u32,
  u64,
  uuid,
  type Value,
} from "./xdr.ts";

/** Longest lists that libvirt sends. */
export const LIST_MAX = 16384;

export const domain = struct({ name: string, uuid, id: i32 });
export type DomainHandle = Value<typeof domain>;

export const network = struct({ name: string, uuid });
export type NetworkHandle = Value<typeof network>;

export const storagePool = struct({ name: string, uuid });
export type StoragePoolHandle = Value<typeof storagePool>;

export const storageVolume = struct({ pool: string, name: string, key: string });
export type StorageVolumeHandle = Value<typeof storageVolume>;

export const domainSnapshot = struct({ name: string, dom: domain });
export type DomainSnapshotHandle = Value<typeof domainSnapshot>;

export const domainCheckpoint = struct({ name: string, dom: domain });

export const remoteError = struct({
  code: i32,
  domain: i32,
  message: nullable(string),
  level: i32,
  dom: nullable(domain),
  str1: nullable(string),
  str2: nullable(string),
  str3: nullable(string),
  int1: i32,
  int2: i32,
  net: nullable(network),
});

/** A value of a typed parameter as TypeScript has it: 64-bit numbers are bigint. */
export type ParameterValue = number | bigint | boolean | string;

/** A value with the number of its type. */
export interface TypedValue {
  readonly type: number;
  readonly value: ParameterValue;
}

const boolean: Type<boolean> = {
  layout: i32.layout,
  encode: (writer, value) => i32.encode(writer, value ? 1 : 0),
  decode: (reader) => i32.decode(reader) !== 0,
};

/** Values by the number in front of them, from 1 on: int, uint, llong, ullong, double, boolean, string. */
const VALUE_TYPES = [i32, u32, i64, u64, double, boolean, string] as const;

const typedValue: Type<TypedValue> = {
  layout: `switch(${VALUE_TYPES.map(({ layout }, at) => `${at + 1}: ${layout}`).join(", ")})`,
  encode(writer, { type, value }) {
    i32.encode(writer, type);
    if (type === 1 && typeof value === "number") {
      i32.encode(writer, value);
    } else if (type === 2 && typeof value === "number") {
      u32.encode(writer, value);
    } else if (type === 3 && typeof value === "bigint") {
      i64.encode(writer, value);
    } else if (type === 4 && typeof value === "bigint") {
      u64.encode(writer, value);
    } else if (type === 5 && typeof value === "number") {
      double.encode(writer, value);
    } else if (type === 6 && typeof value === "boolean") {
      boolean.encode(writer, value);
    } else if (type === 7 && typeof value === "string") {
      string.encode(writer, value);
    } else {
      throw new RangeError(`a ${typeof value} is no parameter of type ${type}`);
    }
  },
  decode(reader) {
    const type = i32.decode(reader);
    const found = VALUE_TYPES[type - 1];
    if (found === undefined) {
      throw new ProtocolError(`a parameter of the unknown type ${type}`);
    }
    return { type, value: found.decode(reader) };
  },
};

export const typedParameter = struct({ field: string, value: typedValue });
export type TypedParameter = Value<typeof typedParameter>;

/** A typed parameter that is sent. */
export function typedParameterOf(
  field: string,
  type: "int" | "string",
  value: number | string,
): TypedParameter {
  return { field, value: { type: type === "int" ? 1 : 7, value } };
}

/** A list of typed parameters as an object. */
export function parameters(list: readonly Value<typeof typedParameter>[]): Record<string, ParameterValue> {
  return Object.fromEntries(list.map(({ field, value }) => [field, value.value]));
}

export const nodeStat = struct({ field: string, value: u64 });
export const domainStatsRecord = struct({ dom: domain, params: array(typedParameter, 262144) });
export const memoryStat = struct({ tag: i32, val: u64 });
const ipAddress = struct({ type: i32, addr: string, prefix: u32 });
export const domainInterface = struct({
  name: string,
  hwaddr: nullable(string),
  addrs: array(ipAddress, 2048),
});
export const fileSystem = struct({
  mountpoint: string,
  name: string,
  fstype: string,
  dev_aliases: array(string, 256),
});
export const diskError = struct({ disk: string, error: i32 });
export const dhcpLease = struct({
  iface: string,
  expirytime: i64,
  type: i32,
  mac: nullable(string),
  iaid: nullable(string),
  ipaddr: string,
  prefix: u32,
  hostname: nullable(string),
  clientid: nullable(string),
});

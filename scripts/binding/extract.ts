import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { domainEvents } from "../../plugins/libvirt/rpc/procedures/domain-event.ts";
import { procedures } from "../../plugins/libvirt/rpc/procedures/index.ts";
import { Program } from "../../plugins/libvirt/rpc/procedures/procedure.ts";
import { readHeaders } from "./headers.ts";
import { Protocol, type ProtocolMessage, type ProtocolProcedure } from "./protocol.ts";
import { ENUMERATIONS, PARAMETERS, TYPED_PARAMETERS } from "./selection.ts";

/** Versions of libvirt that the binding is checked against, the oldest first. */
export const VERSIONS = ["9.0", "11.3"] as const;
export type LibvirtVersion = (typeof VERSIONS)[number];

/** What one version of libvirt says of everything that the binding uses. Kept in git as JSON. */
export interface Extract {
  /** Where it is from. */
  readonly source: string;
  /** Members of enumerations by their full names. */
  readonly enums: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Names of typed parameters by their macros. */
  readonly strings: Readonly<Record<string, string>>;
  /** The first version that has a member or a macro, of those that are newer than the oldest version. */
  readonly since: Readonly<Record<string, string>>;
  readonly remote: Readonly<Record<string, ProtocolProcedure>>;
  readonly qemu: Readonly<Record<string, ProtocolProcedure>>;
  readonly messages: Readonly<Record<string, ProtocolMessage>>;
  /** All public functions of C, except those of the administration interface. */
  readonly functions: readonly string[];
}

/** Where the extract of a version is kept. */
export function extractPath(version: LibvirtVersion): URL {
  return new URL(`libvirt-${version}.json`, import.meta.url);
}

export function readExtract(version: LibvirtVersion): Extract {
  return JSON.parse(readFileSync(extractPath(version), "utf8"));
}

/**
 * Reads the files of one version.
 * @param headers - folder of the public headers, `/usr/include/libvirt` of the package libvirt-dev
 * @param protocol - folder of `remote_protocol.x`, `src/remote` of libvirt's source
 * @param source - names both, for whoever reads the extract
 */
export function makeExtract(headers: string, protocol: string, source: string): Extract {
  const names = readdirSync(headers).filter((name) => name.endsWith(".h") && name !== "libvirt-admin.h");
  const { enums, functions, strings } = readHeaders(
    names.map((name) => readFileSync(join(headers, name), "utf8")),
  );
  const members = ENUMERATIONS.map((type) => {
    const found = enums.get(type);
    if (found === undefined) {
      throw new Error(`the headers have no ${type}`);
    }
    return [type, [...found]] as const;
  });
  const values = Object.fromEntries(
    members.map(([type, list]) => [type, Object.fromEntries(list.map(([name, { value }]) => [name, value]))]),
  );
  const macros = [...strings].filter(([name]) => PARAMETERS.some(({ prefix }) => name.startsWith(prefix)));
  const newer = [...members.flatMap(([, list]) => list), ...macros].flatMap(([name, { since }]) =>
    since !== undefined && isNewer(since) ? [[name, since]] : [],
  );
  const texts = ["remote_protocol.x", "qemu_protocol.x"].map((name) =>
    readFileSync(join(protocol, name), "utf8"),
  );
  const typed = values[TYPED_PARAMETERS] ?? {};
  const remote = new Protocol(texts.slice(0, 1), "remote", typed);
  const qemu = new Protocol(texts, "qemu", typed);
  const used = (program: number) =>
    Object.entries(procedures).flatMap(([name, each]) => (each.program === program ? [name] : []));
  return {
    source,
    enums: values,
    strings: Object.fromEntries(macros.map(([name, { value }]) => [name, value])),
    since: Object.fromEntries(newer),
    remote: Object.fromEntries(used(Program.REMOTE).map((name) => [name, remote.procedure(name)])),
    qemu: Object.fromEntries(used(Program.QEMU).map((name) => [name, qemu.procedure(name)])),
    messages: Object.fromEntries(
      Object.values(domainEvents).map(({ message }) => [message, remote.message(message)]),
    ),
    functions,
  };
}

function isNewer(since: string): boolean {
  const [oldest] = VERSIONS;
  return since.localeCompare(`${oldest}.0`, "en", { numeric: true }) > 0;
}

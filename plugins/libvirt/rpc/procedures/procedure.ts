import { struct, type Type } from "../xdr.ts";
import { QEMU_PROCEDURES, REMOTE_PROCEDURES } from "./numbers.ts";

/** Numbers of libvirt's RPC programs. */
export const Program = { REMOTE: 0x20008086, QEMU: 0x20008087, KEEPALIVE: 0x6b656570 } as const;

/** One remote procedure: its number and the layouts of what goes and what comes. */
export interface Procedure<Args, Result> {
  readonly program: number;
  readonly number: number;
  readonly args: Type<Args>;
  readonly result: Type<Result>;
}

/** An empty payload. */
export const nothing = struct({});

/** What goes and what comes with one procedure. */
interface Layout<Args, Result> {
  readonly args: Type<Args>;
  readonly result: Type<Result>;
}

/** Any layout, for constraints. */
interface AnyLayout {
  readonly args: { readonly layout: string };
  readonly result: { readonly layout: string };
}

/** Layouts of procedures that the generated numbers have; the name of any other has the type `never`. */
type Known<Table, Numbers> = { [Name in keyof Table]: Name extends keyof Numbers ? AnyLayout : never };

type Procedures<Table> = {
  readonly [Name in keyof Table]: Table[Name] extends Layout<infer Args, infer Result>
    ? Procedure<Args, Result>
    : never;
};

/** The layout of a procedure's arguments and of its result. */
export function layout<Args, Result>(args: Type<Args>, result: Type<Result>): Layout<Args, Result> {
  return { args, result };
}

/** Procedures of the program REMOTE by libvirt's names, from which the numbers follow. */
export function remote<Table extends Known<Table, typeof REMOTE_PROCEDURES>>(
  table: Table,
): Procedures<Table> {
  return numbered(Program.REMOTE, REMOTE_PROCEDURES, table);
}

/** Procedures of the program QEMU. */
export function qemu<Table extends Known<Table, typeof QEMU_PROCEDURES>>(table: Table): Procedures<Table> {
  return numbered(Program.QEMU, QEMU_PROCEDURES, table);
}

function numbered<Table>(
  program: number,
  numbers: Readonly<Record<string, number>>,
  table: Readonly<Record<string, AnyLayout>>,
): Procedures<Table> {
  const entries = Object.entries(table).map(([name, each]) => [
    name,
    { program, number: numbers[name], ...each },
  ]);
  // Object.fromEntries forgets which layout belongs to which name; the callers' types have checked both.
  return Object.fromEntries(entries) as Procedures<Table>;
}

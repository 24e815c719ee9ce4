import { struct, type Type } from "../xdr.ts";

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

/** A procedure of the program REMOTE. */
export function remote<Args, Result>(
  number: number,
  args: Type<Args>,
  result: Type<Result>,
): Procedure<Args, Result> {
  return { program: Program.REMOTE, number, args, result };
}

/** A procedure of the program QEMU. */
export function qemu<Args, Result>(
  number: number,
  args: Type<Args>,
  result: Type<Result>,
): Procedure<Args, Result> {
  return { program: Program.QEMU, number, args, result };
}

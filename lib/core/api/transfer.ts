/** A path of this host. */
export interface HostPath {
  readonly path: string;
}

/** A path in an instance; a relative one is below the default user's home. */
export interface GuestPath extends HostPath {
  readonly instance: string;
}

export type TransferSource = HostPath | GuestPath | { readonly stream: AsyncIterable<Uint8Array> };
export type TransferTarget = HostPath | GuestPath | { readonly stream: NodeJS.WritableStream };

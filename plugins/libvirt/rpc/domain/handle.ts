import type { Connection } from "../connection.ts";
import type { DomainHandle } from "../structures.ts";

/** What names a domain. Any object of it stays valid until the domain is undefined. */
export class DomainObject {
  readonly connection: Connection;
  /** What the protocol names it by. The daemon goes by the UUID alone. */
  readonly handle: DomainHandle;

  constructor(connection: Connection, handle: DomainHandle) {
    this.connection = connection;
    this.handle = handle;
  }

  get name(): string {
    return this.handle.name;
  }

  get uuid(): string {
    return this.handle.uuid;
  }

  /** Number of the running domain when this object was made; -1 when it did not run. */
  get id(): number {
    return this.handle.id;
  }

  /** The argument that all procedures of domains begin with. */
  protected get dom(): { dom: DomainHandle } {
    return { dom: this.handle };
  }
}

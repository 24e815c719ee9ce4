import { readdir } from "node:fs/promises";
import { execa } from "execa";
import { context, lockOf, newSpec, take } from "../../../lib/engine/conformance/fixture.ts";
import type { Instance } from "../../../lib/engine/contract.ts";
import { listCopies, removeRecordCopies } from "../../../plugins/libvirt/snapshots/record-copies.ts";
import { type LibvirtFixture, libvirtFixture, whileLocked } from "./fixture.ts";

/** An instance to which something happens that must not cost it anything. */
export class TroubledInstance implements AsyncDisposable {
  readonly fixture: LibvirtFixture;
  readonly instance: Instance;

  private constructor(fixture: LibvirtFixture, instance: Instance) {
    this.fixture = fixture;
    this.instance = instance;
  }

  static async open(fixture: LibvirtFixture): Promise<TroubledInstance> {
    return new TroubledInstance(fixture, await fixture.engine.instances.create(newSpec(fixture), context()));
  }

  held<T>(work: () => Promise<T>): Promise<T> {
    return whileLocked(this.fixture, this.instance, work);
  }

  /** Takes a snapshot of a disk with contents of its own. */
  async take(name: string, value: number): Promise<void> {
    await this.held(async () => {
      await this.fixture.write(this.instance, value);
      await take(this.fixture, this.instance, name);
    });
  }

  delete(name: string, parent: string | null): Promise<void> {
    const removal = { name, parent, children: [] };
    return this.held(() =>
      this.fixture.engine.snapshots.delete(lockOf(this.instance.id), removal, context()),
    );
  }

  /** Leaves the entry of an operation in the domain as a process that died would have. */
  note(operation: string): Promise<void> {
    return noteOn(this.fixture, this.instance.id, operation);
  }

  /** Removes a snapshot's record with its copy, as a deletion has done when it comes to the layers. */
  async forgetSnapshot(name: string): Promise<void> {
    const { folder } = await this.fixture.layers(this.instance);
    const domain = await this.fixture.connection.lookupDomainByUuid(this.instance.id);
    await (await domain.lookupSnapshot(name)).delete(2);
    await removeRecordCopies(await listCopies(folder), name);
  }

  /** Everything that must be the same after a refusal. */
  async records() {
    const { id, name } = this.instance;
    const { folder } = await this.fixture.layers({ id });
    const xml = (await execa("virsh", ["dumpxml", "--inactive", name])).stdout;
    const tree = await this.fixture.engine.snapshots.tree(id);
    return { tree, files: (await readdir(folder)).sort(), xml };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.held(() => this.fixture.engine.instances.remove(lockOf(this.instance.id), context()));
  }
}

export async function noteOn({ connection }: LibvirtFixture, id: string, operation: string): Promise<void> {
  const domain = await connection.lookupDomainByUuid(id);
  const xml = await domain.getMetadata(2, "urn:strata:1", 2);
  const inner = xml?.replace(/ xmlns:strata="[^"]*"/, "").replaceAll("strata:", "") ?? "";
  await domain.setMetadata(2, inner.replace("<image", `${operation}<image`), "strata", "urn:strata:1", 2);
}

/** Hooks of the suite that they are registered in: an engine for all of its tests, a new instance for each. */
export function troubledForEach(use: (troubled: TroubledInstance) => void): void {
  let fixture: LibvirtFixture | undefined;
  let troubled: TroubledInstance | undefined;
  before(async () => {
    fixture = await libvirtFixture();
  });
  beforeEach(async () => {
    troubled = undefined;
    if (fixture !== undefined) {
      troubled = await TroubledInstance.open(fixture);
      use(troubled);
    }
  });
  afterEach(() => troubled?.[Symbol.asyncDispose]());
  after(() => fixture?.[Symbol.asyncDispose]());
}

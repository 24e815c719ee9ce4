import { access } from "node:fs/promises";
import { expect } from "chai";
import { execa } from "execa";
import { context, lockOf, newSpec } from "../../../lib/engine/conformance/fixture.ts";
import type { Finding, Instance } from "../../../lib/engine/contract.ts";
import { Strata } from "../../../lib/index.ts";
import { type LibvirtFixture, libvirtFixture, whileLocked } from "./fixture.ts";
import { Contents, HOST, talkTo, virsh, virshRefusal } from "./virsh.ts";

/** What must be there after somebody used virsh on an instance. */
export interface Expected {
  /** Digest of the disk. */
  activeLayer: string;
  /** Digest of each snapshot by its name. */
  readonly snapshots: Map<string, string>;
  /** Names of those that are inside an image file: only libvirt's own tools restore them. */
  readonly internal: Set<string>;
  /** Digests that nobody names any more, of which strata does not know that they may go. */
  readonly kept: Set<string>;
}

/** The engine, and strata as a program has it, both on the same libvirt. */
export interface Stage extends AsyncDisposable {
  readonly fixture: LibvirtFixture;
  readonly strata: Strata;
  readonly contents: Contents;
}

/** On the host's libvirt, or on another one, which `virsh` is to talk to as well. */
export async function openStage(uri = HOST): Promise<Stage> {
  const fixture = await libvirtFixture(uri === HOST ? {} : { uri });
  const folders = { config: fixture.folder };
  const strata = await Strata.open({ driver: "libvirt", folders, settings: { "local.libvirt.uri": uri } });
  talkTo(uri);
  return {
    fixture,
    strata,
    contents: new Contents(fixture.folder),
    async [Symbol.asyncDispose]() {
      talkTo(HOST);
      await strata[Symbol.asyncDispose]();
      await fixture[Symbol.asyncDispose]();
    },
  };
}

let made = 0;

/** An instance with snapshots whose contents are known, for one test. */
export class Scene implements AsyncDisposable {
  readonly stage: Stage;
  readonly instance: Instance;
  readonly folder: string;
  readonly expected: Expected = {
    activeLayer: "",
    snapshots: new Map(),
    internal: new Set(),
    kept: new Set(),
  };

  private constructor(stage: Stage, instance: Instance, folder: string) {
    this.stage = stage;
    this.instance = instance;
    this.folder = folder;
  }

  /** A new instance without snapshots, that was written once. */
  static async open(stage: Stage): Promise<Scene> {
    const { fixture } = stage;
    const spec = newSpec(fixture, { name: `strata-test-hands-${process.pid}-${++made}` });
    const instance = await fixture.engine.instances.create(spec, context());
    const scene = new Scene(stage, instance, (await fixture.layers(instance)).folder);
    await scene.write(1);
    return scene;
  }

  get name(): string {
    return this.instance.name;
  }

  async activeLayer(): Promise<string> {
    return (await this.stage.fixture.layers(this.instance)).activeLayer;
  }

  /** Writes a mark on the disk of the stopped domain that no other number leaves. */
  async write(mark: number): Promise<void> {
    const at = `${mark * 192 + 60}k`;
    await execa("qemu-io", ["-f", "qcow2", "-c", `write -P ${mark} ${at} 8k`, await this.activeLayer()]);
    this.expected.activeLayer = await this.readActiveLayer();
  }

  async readActiveLayer(): Promise<string> {
    return this.stage.contents.of(await this.activeLayer());
  }

  /** Takes a snapshot with strata and remembers what it holds. */
  async take(snapshot: string): Promise<void> {
    await this.stage.strata.snapshots.take(this.name, { name: snapshot });
    this.expected.snapshots.set(snapshot, this.expected.activeLayer);
  }

  /** Snapshots with a mark each, in a row, and one more mark on the disk. */
  async chain(snapshots: readonly string[], mark: number): Promise<void> {
    for (const [index, snapshot] of snapshots.entries()) {
      await this.take(snapshot);
      await this.write(mark + index);
    }
  }

  async restore(snapshot: string): Promise<void> {
    await this.stage.strata.snapshots.restore({ instance: this.name, snapshot });
    this.expected.activeLayer = this.expected.snapshots.get(snapshot) ?? "";
  }

  /** Starts the domain, in which nothing boots: its disk is never written. */
  async run(): Promise<void> {
    await virsh("start", this.name);
  }

  async start(): Promise<void> {
    const { fixture } = this.stage;
    const { engine } = fixture;
    await whileLocked(fixture, this.instance, () =>
      engine.instances.start(lockOf(this.instance.id), context()),
    );
  }

  async powerOff(): Promise<void> {
    await this.stage.strata.instances.stop([this.name], { force: true });
  }

  /** What the doctor says of this instance. */
  async findings(): Promise<Finding[]> {
    const all = await this.stage.strata.maintenance.audit();
    const about = ({ instance, subject }: Finding) =>
      instance === this.name || subject.startsWith(`${this.folder}/`);
    return all.filter(about);
  }

  /** Throws unless all that is expected can be read from the files of the instance. */
  async requireReadable(when: string): Promise<void> {
    const readable = await this.stage.contents.in(this.folder, this.expected.internal);
    const { snapshots, kept, activeLayer } = this.expected;
    expect(await this.readActiveLayer(), `the disk ${when}`).to.equal(activeLayer);
    const lost = [...snapshots].filter(([, digest]) => !readable.has(digest)).map(([name]) => name);
    expect(lost, `snapshots that cannot be read ${when}`).to.deep.equal([]);
    const gone = [...kept].filter((digest) => !readable.has(digest));
    expect(gone, `contents that nobody was told to remove, ${when}`).to.deep.equal([]);
  }

  /** Throws unless strata lists, shows and restores all that is expected, bit for bit. */
  async requireUsable(): Promise<void> {
    const { strata } = this.stage;
    const [info] = await strata.instances.info([this.name]);
    expect(info?.name).to.equal(this.name);
    const [tree] = await strata.snapshots.list([this.name]);
    const names = tree?.snapshots.map((snapshot) => snapshot.name) ?? [];
    expect(names).to.have.members([...this.expected.snapshots.keys()]);
    await this.requireReadable("after it was looked at");
    for (const snapshot of this.expected.snapshots.keys()) {
      if (this.expected.internal.has(snapshot)) {
        continue;
      }
      await this.restore(snapshot);
      expect(await this.readActiveLayer(), `the disk restored to ${snapshot}`).to.equal(
        this.expected.activeLayer,
      );
    }
    await this.requireReadable("after every snapshot was restored");
  }

  /** Purges the instance with strata; throws unless nothing of it is left. */
  async purge(): Promise<void> {
    await this.stage.strata.delete([{ instance: this.name }], { purge: true });
    expect(await this.stage.fixture.engine.instances.find(this.name)).to.equal(null);
    const folder = await access(this.folder).then(
      () => "still there",
      () => "gone",
    );
    expect(folder, this.folder).to.equal("gone");
  }

  /** Takes away what a test that failed has left, by libvirt's own tools. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { name, folder } = this;
    await virshRefusal("destroy", name);
    const metadata = ["--snapshots-metadata", "--checkpoints-metadata", "--managed-save"];
    await virshRefusal("undefine", name, ...metadata);
    await execa("rm", ["-rf", folder]);
  }
}

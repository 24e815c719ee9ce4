import { createHash, randomUUID } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { context, locked, lockOf, newSpec, take } from "../../lib/engine/conformance/fixture.ts";
import { DomainXmlFlags, SnapshotCreateFlags, UndefineFlags } from "../../plugins/libvirt/rpc/index.ts";
import type { LibvirtFixture } from "../support/libvirt/fixture.ts";

/** Instances beside each other, each with the same snapshots, defined from one that was made as usual. */
export interface Crowd extends AsyncDisposable {
  readonly names: readonly string[];
  /** Makes more of them, up to a number in all. */
  growTo(count: number): Promise<void>;
}

/** What is replaced in the original's documents and headers: all of the same length. */
interface Identity {
  readonly uuid: string;
  readonly name: string;
  readonly mac: string;
}

/** A crowd of stopped instances with `snapshots` snapshots each. */
export async function gather(fixture: LibvirtFixture, snapshots: number): Promise<Crowd> {
  const { instances } = fixture.engine;
  const original = await instances.create(newSpec(fixture, { name: newIdentity().name }), context());
  {
    await using _lock = await locked(fixture, original);
    for (let at = 1; at <= snapshots; at++) {
      await take(fixture, original, `snapshot${at}`);
    }
  }
  const { folder } = await fixture.layers(original);
  const domain = await fixture.connection.lookupDomainByUuid(original.id);
  const xml = await domain.getXml(DomainXmlFlags.INACTIVE);
  const records: string[] = [];
  for (let at = 1; at <= snapshots; at++) {
    records.push(await (await domain.lookupSnapshot(`snapshot${at}`)).getXml());
  }
  const [mac = ""] = /52:54:00(:[0-9a-f]{2}){3}/.exec(xml) ?? [];
  const from: Identity = { uuid: original.id, name: original.name, mac };
  const made: Identity[] = [];

  async function add(): Promise<void> {
    const to = newIdentity();
    const place = join(dirname(folder), to.uuid);
    const renamed = (text: string) =>
      text.replaceAll(from.uuid, to.uuid).replaceAll(from.name, to.name).replaceAll(from.mac, to.mac);
    await mkdir(place, { mode: 0o710 });
    made.push(to);
    for (const file of await readdir(folder)) {
      if (!file.startsWith("layer-")) {
        continue;
      }
      // The header is all that a look at an instance reads; it differs in the folder's UUID alone.
      const header = (await readFile(join(folder, file))).subarray(0, 4096).toString("latin1");
      const patched = Buffer.from(header.replaceAll(from.uuid, to.uuid), "latin1");
      await writeFile(join(place, file), patched, { mode: 0o600 });
    }
    await copyFile(join(folder, "lock"), join(place, "lock"));
    const copy = await fixture.connection.defineDomain(renamed(xml));
    for (const record of records) {
      await copy.createSnapshot(renamed(record), SnapshotCreateFlags.REDEFINE | SnapshotCreateFlags.CURRENT);
    }
  }

  return {
    get names() {
      return [from, ...made].map(({ name }) => name);
    },
    async growTo(count) {
      while (made.length + 1 < count) {
        await Promise.all([add(), add()]);
      }
    },
    async [Symbol.asyncDispose]() {
      for (const { uuid } of made) {
        const copy = await fixture.connection.lookupDomainByUuid(uuid).catch(() => null);
        await copy?.undefine(UndefineFlags.SNAPSHOTS_METADATA);
        await rm(join(dirname(folder), uuid), { recursive: true, force: true });
      }
      await using _lock = await locked(fixture, original);
      await instances.remove(lockOf(original.id), context());
    },
  };
}

function newIdentity(): Identity {
  const uuid = randomUUID();
  const digest = createHash("sha256").update(uuid).digest("hex");
  const mac = ["52:54:00", ...(digest.slice(0, 6).match(/../g) ?? [])].join(":");
  return { uuid, name: `crowd-${digest.slice(0, 12)}a`, mac };
}

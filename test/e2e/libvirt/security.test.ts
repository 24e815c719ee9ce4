import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { context, locked, lockOf, newSpec, take } from "../../../lib/engine/conformance/fixture.ts";
import type { Instance } from "../../../lib/engine/contract.ts";
import { removeLayer } from "../../../plugins/libvirt/layers/layers.ts";
import { newLayerPath } from "../../../plugins/libvirt/layers/names.ts";
import { isLauncher } from "../../../plugins/libvirt/mounts/launcher.ts";
import { createOverlay } from "../../../plugins/libvirt/qcow2/overlay.ts";
import { imageServer } from "../../support/images/image-server.ts";
import { codeOf, type LibvirtFixture, libvirtFixture, whileLocked } from "../../support/libvirt/fixture.ts";
import { done, strata } from "../../support/program.ts";

async function modeOf(path: string): Promise<string> {
  return ((await stat(path)).mode & 0o777).toString(8).padStart(4, "0");
}

/** The rows of docs/security.md that only a real engine and real files can show. */
describe("security on libvirt", () => {
  let fixture: LibvirtFixture;
  let instance: Instance;
  before(async () => {
    fixture = await libvirtFixture();
    instance = await fixture.engine.instances.create(newSpec(fixture), context());
  });
  after(async () => {
    await held(() => fixture.engine.instances.remove(lockOf(instance.id), context()));
    await fixture[Symbol.asyncDispose]();
  });

  const held = <T>(work: () => Promise<T>) => whileLocked(fixture, instance, work);

  it("layers, seed and lock belong to their owner alone, after a take and after a restore", async () => {
    const { folder } = await fixture.layers(instance);
    await held(async () => {
      await take(fixture, instance, "first");
      await fixture.engine.snapshots.restore(lockOf(instance.id), "first", context());
      await take(fixture, instance, "second");
    });
    const modes = await Promise.all(
      (await readdir(folder, { recursive: true })).map(
        async (file) => [file, await modeOf(join(folder, file))] as const,
      ),
    );
    expect(modes.length).to.be.at.least(8);
    for (const [file, mode] of modes) {
      expect(mode, file).to.equal(file === "records" ? "0700" : "0600");
    }
  });

  it("an overlay is its owner's alone from its first moment, and libvirt leaves it so", async () => {
    const { folder, activeLayer } = await fixture.layers(instance);
    const file = newLayerPath(folder);
    const disk = `vda,snapshot=external,file=${file}`;
    const args = ["--no-metadata", "--reuse-external", "--diskspec", "vdb,snapshot=no", "--diskspec", disk];
    const xml = (await execa("virsh", ["dumpxml", "--inactive", instance.name])).stdout;
    const umask = process.umask(0);
    await createOverlay(file, activeLayer).finally(() => process.umask(umask));
    try {
      expect(await modeOf(file)).to.equal("0600");
      await execa("virsh", ["snapshot-create-as", instance.name, "probe", "--disk-only", ...args]);
      expect((await fixture.layers(instance)).activeLayer).to.equal(file);
      expect(await modeOf(file)).to.equal("0600");
    } finally {
      await writeFile(join(fixture.folder, "before.xml"), xml);
      await execa("virsh", ["define", join(fixture.folder, "before.xml")]);
      await rm(file);
    }
    expect((await fixture.layers(instance)).activeLayer).to.equal(activeLayer);
  });

  it("nobody but root and QEMU's group can enter the folders of instances and images", async () => {
    const { folder } = await fixture.layers(instance);
    const group = Number((await execa("getent", ["group", "libvirt-qemu"])).stdout.split(":")[2]);
    for (const each of [folder, join(folder, ".."), join(folder, "../../images")]) {
      expect(await modeOf(each), each).to.equal("0710");
      expect((await stat(each)).gid, each).to.equal(group);
    }
    const look = await execa("setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", "ls", folder], {
      reject: false,
    });
    expect(look.stderr).to.contain("Permission denied");
  });

  it("the launcher of a mount is its owner's alone, in the instance's closed folder", async () => {
    const mount = { source: fixture.folder, target: "/mnt/it", type: "native" as const };
    const ids = { uidMap: [{ host: 0, guest: 0 }], gidMap: [{ host: 0, guest: 0 }] };
    const spec = newSpec(fixture, { mounts: [{ ...mount, ...ids }] });
    const mounted = await fixture.engine.instances.create(spec, context());
    try {
      const { folder } = await fixture.layers(mounted);
      const launchers = (await readdir(folder)).filter((file) => isLauncher(file));
      expect(launchers).to.have.length(1);
      expect(await modeOf(join(folder, launchers[0] ?? ""))).to.equal("0700");
      expect(await modeOf(folder)).to.equal("0710");
    } finally {
      await whileLocked(fixture, mounted, () =>
        fixture.engine.instances.remove(lockOf(mounted.id), context()),
      );
    }
  });

  it("only what has a layer's name and lies in the instance's own folder is removed as a layer", async () => {
    const { folder } = await fixture.layers(instance);
    const outside = join(fixture.folder, "layer-00000000-0000-4000-8000-000000000000.qcow2");
    const stranger = join(folder, "disk.qcow2");
    for (const path of [outside, stranger]) {
      await writeFile(path, "precious");
    }
    for (const path of [outside, stranger, join(folder, "..", "x"), `${folder}/../../images/y`]) {
      expect(await codeOf(removeLayer(folder, path)), path).to.equal("INTERNAL");
    }
    for (const path of [outside, stranger]) {
      expect(await readFile(path, "utf8")).to.equal("precious");
    }
    await rm(stranger);
  });

  it("a removal leaves files that are not strata's, and says where", async () => {
    const other = await fixture.engine.instances.create(newSpec(fixture), context());
    const { folder } = await fixture.layers(other);
    await writeFile(join(folder, "notes.txt"), "precious");
    {
      await using _lock = await locked(fixture, other);
      await fixture.engine.instances.remove(lockOf(other.id), context());
    }
    expect(await readdir(folder)).to.deep.equal(["notes.txt"]);
    await rm(folder, { recursive: true });
  });

  it("a removal refuses a folder that is not the instance's own, whatever the record says", async () => {
    const victim = join(fixture.folder, "victim");
    await mkdir(victim);
    const file = join(victim, "layer-00000000-0000-4000-8000-000000000000.qcow2");
    await writeFile(file, "precious");
    const { folder } = await fixture.layers(instance);
    const domain = await fixture.connection.lookupDomainByUuid(instance.id);
    const before = (await domain.getXml(2)).replaceAll(/<backingStore.*?<\/backingStore>/gs, "");
    await fixture.connection.defineDomain(before.replace(`folder="${folder}"`, `folder="${victim}"`));
    try {
      expect((await fixture.layers(instance)).folder).to.equal(victim);
      expect(
        await codeOf(held(() => fixture.engine.instances.remove(lockOf(instance.id), context()))),
      ).to.equal("RECORDS_DIFFER");
      expect(await readFile(file, "utf8")).to.equal("precious");
    } finally {
      await fixture.connection.defineDomain(before);
    }
    expect(await fixture.engine.instances.find(instance.name)).not.to.equal(null);
  });

  it("a foreign domain is not listed, and no command touches it", async () => {
    const name = `strata-test-foreign-${process.pid}`;
    const disk = join(fixture.folder, "foreign.qcow2");
    await execa("qemu-img", ["create", "-q", "-f", "qcow2", disk, "1M"]);
    const domain = await fixture.connection.defineDomain(
      `<domain type='qemu'><name>${name}</name><memory>65536</memory><os><type>hvm</type></os><devices><disk type='file'><driver name='qemu' type='qcow2'/><source file='${disk}'/><target dev='vda'/></disk></devices></domain>`,
    );
    const xml = await domain.getXml(2);
    try {
      expect(await done(["list", "--format", "csv"])).not.to.contain(name);
      for (const args of [["start"], ["stop"], ["snapshot"], ["delete", "--purge"], ["info"]]) {
        expect((await strata([...args, name])).code, args.join(" ")).to.equal(3);
      }
      const env = { XDG_CACHE_HOME: join(fixture.folder, "cache") };
      expect((await strata(["launch", `file://${disk}`, "-n", name], { env })).code).to.equal(4);
      expect(await domain.getXml(2)).to.equal(xml);
      expect((await stat(disk)).isFile()).to.equal(true);
    } finally {
      await domain.undefine();
    }
  });
});

describe("secrets", () => {
  const SECRET = "hunter2-do-not-tell";
  let folder: string;
  let env: Record<string, string>;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "strata-secrets-"));
    env = { HOME: folder, XDG_CONFIG_HOME: "", XDG_DATA_HOME: "", XDG_CACHE_HOME: "", XDG_STATE_HOME: "" };
  });
  after(() => rm(folder, { recursive: true, force: true }));

  async function silentImage(): Promise<string> {
    const raw = join(folder, "silent.raw");
    const bytes = Buffer.alloc(2 * 1024 * 1024);
    bytes.writeUInt16LE(0xaa55, 510);
    await writeFile(raw, bytes);
    return raw;
  }

  it("user-data and key reach the seed by files, not by arguments, and the log has none of them", async () => {
    // A maker of images before the real one that notes what anybody on this host could read of it.
    const bin = join(folder, "bin");
    const seen = join(folder, "arguments");
    await mkdir(bin);
    const script = `#!/bin/sh\nprintf '%s\\n' "$@" >> ${seen}\nexec /usr/bin/genisoimage "$@"\n`;
    await writeFile(join(bin, "genisoimage"), script);
    await chmod(join(bin, "genisoimage"), 0o755);
    const data = join(folder, "user-data");
    await writeFile(data, `#cloud-config\npassword: ${SECRET}\n`);
    const name = `strata-test-secret-${process.pid}`;
    const launch = [
      "-vvvv",
      "launch",
      `file://${await silentImage()}`,
      "-n",
      name,
      "-m",
      "128M",
      "-d",
      "512M",
    ];
    try {
      const path = { PATH: `${bin}:${process.env.PATH}` };
      const { code } = await strata([...launch, "--timeout", "1", "--cloud-init", data], {
        env: { ...env, ...path },
      });
      expect(code).to.equal(10); // There is no system in it.
      expect(await readFile(seen, "utf8"))
        .to.contain("cidata")
        .and.not.contain(SECRET);
      const key = await readFile(join(folder, ".local/share/strata/ssh/id_ed25519"), "utf8");
      const log = await readFile(join(folder, ".local/state/strata/strata.log"), "utf8");
      expect(log).not.to.contain(SECRET);
      expect(log).not.to.contain(key.split("\n")[1]);
    } finally {
      await strata(["delete", "--purge", name], { env });
    }
  });

  it("settings and log are their owner's alone, the log's folder too", async () => {
    await done(["set", "client.primary-name=main"], { env });
    expect(await modeOf(join(folder, ".config/strata/settings.json"))).to.equal("0600");
    expect(await modeOf(join(folder, ".local/state/strata/strata.log"))).to.equal("0600");
    expect(await modeOf(join(folder, ".local/state/strata"))).to.equal("0700");
  });

  it("a settings file that somebody broke is refused by name, and stays as it is", async () => {
    const path = join(folder, ".config/strata/settings.json");
    for (const text of ["{", "[]", '{"client.primary-name": 7}', '"x"']) {
      await writeFile(path, text);
      const { code, stderr } = await strata(["get", "client.primary-name"], { env });
      expect(code, text).to.equal(2);
      expect(stderr, text).to.contain(path);
      expect(await readFile(path, "utf8")).to.equal(text);
    }
    await rm(path);
  });

  it("a redirect to another host does not get the password", async () => {
    const asked: (string | undefined)[] = [];
    await using far = await imageServer((_n, request, response) => {
      asked.push(request.headers.authorization);
      response.writeHead(404).end();
    });
    await using near = await imageServer((_n, request, response) => {
      asked.push(request.headers.authorization);
      response.writeHead(302, { location: far.url("/image") }).end();
    });
    const url = near.url("/image", "0".repeat(64)).replace("http://", `http://me:${SECRET}@`);
    const { code, stderr } = await strata(["launch", url, "-n", "nothing"], { env });
    expect(code).to.equal(7);
    expect(asked).to.deep.equal([`Basic ${Buffer.from(`me:${SECRET}`).toString("base64")}`, undefined]);
    expect(stderr).not.to.contain(SECRET);
  });
});

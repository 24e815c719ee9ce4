import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { keyPair } from "../../lib/guest/keys.ts";
import { makeSeed } from "../../lib/guest/seed.ts";
import { Strata } from "../../lib/index.ts";
import { readHeader } from "../../plugins/libvirt/qcow2/header.ts";
import { byTurns, type Figure, least, type Scope } from "./measure.ts";
import { strata } from "./start-up.ts";

const BY_HAND = fileURLToPath(new URL("launch-by-hand.sh", import.meta.url));
const IMAGE = "debian-micro";
const MEMORY = 256n * 1024n ** 2n;
/** What all that is launched to be measured is called. */
const PREFIX = `bench-launch-${process.pid}`;
const FIRST = `first-${PREFIX}`;
const CROWD = 5;
/** Where QEMU's user may go. */
const PLACE = "/var/lib/libvirt/images";

/**
 * From an image in the cache to a guest that has booted and lets a command in, beside a script with virsh,
 * qemu-img and ssh which brings up the same domain; alone, and five at once.
 */
export async function launch(scope: Scope): Promise<Figure[]> {
  await using hand = await Hand.create();
  await using library = await Strata.open();
  let made = 0;
  const name = () => `${PREFIX}-${made++}`;
  const rounds = Math.min(scope.rounds, scope.short ? 1 : 5);
  const named = (what: string) => ({ subject: "launch", what, peer: "virsh, qemu-img and ssh in a script" });
  const [program = Number.NaN, call = Number.NaN, script = Number.NaN] = await byTurns(
    rounds,
    { before: () => hand.clear(), work: () => launchOne(name()) },
    {
      before: () => hand.clear(),
      work: () => library.instances.launch({ image: IMAGE, name: name(), memory: MEMORY }),
    },
    { before: () => hand.clear(), work: () => hand.launch(name()) },
  );
  await hand.clear();
  const processor = {
    ...named("QEMU's processor time until then"),
    unit: "s",
    ours: least(hand.processor.ours),
    theirs: least(hand.processor.theirs),
  };
  const [ours = Number.NaN, theirs = Number.NaN] = await byTurns(
    1,
    { before: () => hand.clear(), work: () => several(() => launchOne(name())) },
    { before: () => hand.clear(), work: () => several(() => hand.launch(name())) },
  );
  await hand.clear();
  return [
    { ...named("strata launch"), ours: program, theirs: script },
    { ...named("launch, library call"), ours: call, theirs: script },
    processor,
    { ...named(`strata launch, ${CROWD} at once`), ours, theirs },
  ];
}

function launchOne(name: string) {
  return strata("launch", IMAGE, "--name", name, "--memory", String(MEMORY));
}

function several(work: () => Promise<unknown>): Promise<unknown> {
  return Promise.all(Array.from({ length: CROWD }, work));
}

/** What the script needs: the domain that strata would define, and a folder for its files. */
class Hand implements AsyncDisposable {
  /** Seconds that QEMU had used when each instance was cleared away: unlike the time, other work does not add to it. */
  readonly processor: Readonly<Record<"ours" | "theirs", number[]>> = { ours: [], theirs: [] };
  readonly #folder: string;
  readonly #base: string;
  readonly #own = new Set<string>();

  private constructor(folder: string, base: string) {
    this.#folder = folder;
    this.#base = base;
  }

  /**
   * Launches an instance, which brings the image into the pool and keeps it there, and takes its domain as
   * the script's.
   */
  static async create(): Promise<Hand> {
    const folder = await mkdtemp(join(PLACE, "strata-bench-"));
    await chmod(folder, 0o711);
    const name = FIRST;
    await launchOne(name);
    await strata("stop", name);
    const xml = (await virsh("dumpxml", "--inactive", name)).stdout;
    const [disk = "", seed = ""] = [...xml.matchAll(/<source file='([^']*)'/g)].map(([, path]) => path ?? "");
    const { backing } = await readHeader(disk);
    const domain = xml
      .replace(`<name>${name}</name>`, "<name>NAME</name>")
      .replace(/<uuid>.*<\/uuid>/, "")
      .replace(/<metadata>[\s\S]*<\/metadata>/, "")
      .replace(/<mac address='[^']*'\/>/, "")
      .replace(disk, "DISK")
      .replace(seed, "SEED");
    await writeFile(join(folder, "domain.xml"), domain);
    return new Hand(folder, backing ?? "");
  }

  async launch(name: string): Promise<void> {
    const own = join(this.#folder, name);
    await mkdir(own, { mode: 0o711 });
    this.#own.add(name);
    const keys = join(this.#folder, "ssh");
    const { publicKey } = await keyPair(keys);
    const seed = makeSeed({ name, instanceId: name, username: "ubuntu", publicKey });
    await writeFile(join(own, "meta-data"), seed.metaData);
    await writeFile(join(own, "user-data"), seed.userData);
    await writeFile(join(own, "vendor-data"), seed.vendorData);
    const domain = join(this.#folder, "domain.xml");
    await execa(BY_HAND, [name, own, this.#base, domain, join(keys, "id_ed25519")]);
  }

  /** Takes away all that this run has brought up, one way or the other. */
  async clear(): Promise<void> {
    const names = (await virsh("list", "--all", "--name")).stdout.split("\n").map((name) => name.trim());
    for (const name of names.filter((each) => each.startsWith(PREFIX))) {
      const { stdout } = await virsh("domstats", "--cpu-total", name);
      const used = Number(/cpu\.time=(\d+)/.exec(stdout)?.[1]) / 1e9;
      this.processor[this.#own.has(name) ? "theirs" : "ours"].push(used);
      if (!this.#own.has(name)) {
        await strata("delete", "--purge", name);
      } else {
        await virsh("destroy", name);
        await virsh("undefine", name);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.clear();
    await strata("delete", "--purge", FIRST);
    await rm(this.#folder, { recursive: true, force: true });
  }
}

function virsh(...args: readonly string[]) {
  return execa("virsh", ["-q", "-c", "qemu:///system", ...args]);
}

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { execa } from "execa";
import { keyPair } from "../../lib/guest/keys.ts";
import { Strata } from "../../lib/index.ts";
import { defaultFolders } from "../../lib/settings/folders.ts";
import { type Figure, least, type Scope, sideBySide } from "./measure.ts";
import { strata } from "./start-up.ts";

const NAME = `bench-transfer-${process.pid}`;
const TAG = "bench-plain";

/**
 * The ways of data into a guest and out of it: transfers beside scp with the same key, and reads and writes
 * through a mount beside virtiofs as virsh attaches it, which starts the same virtiofsd.
 */
export async function transfer(scope: Scope): Promise<Figure[]> {
  const mebibytes = scope.short ? 64 : 1024;
  const few = { ...scope, rounds: Math.min(scope.rounds, scope.short ? 3 : 1) };
  const folder = await mkdtemp(join(tmpdir(), "strata-bench-"));
  await using guest = await Guest.launch(folder);
  try {
    const file = join(folder, "file");
    await execa("dd", ["if=/dev/urandom", `of=${file}`, "bs=1M", `count=${mebibytes}`, "status=none"]);
    const named = (what: string) => ({ subject: "transfer", what: `${what}, ${mebibytes} MiB`, peer: "scp" });
    return [
      await sideBySide(
        few,
        named("strata transfer to a guest"),
        () => strata("transfer", file, `${NAME}:ours`),
        () => guest.scp(file, guest.remote("theirs")),
      ),
      await sideBySide(
        few,
        named("strata transfer from a guest"),
        () => strata("transfer", `${NAME}:ours`, join(folder, "ours")),
        () => guest.scp(guest.remote("ours"), join(folder, "theirs")),
      ),
      ...(await mounts(few, guest, folder, mebibytes)),
    ];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function mounts(scope: Scope, guest: Guest, parent: string, mebibytes: number): Promise<Figure[]> {
  // Of its own: the other one holds the user's key.
  const folder = join(parent, "shared");
  await mkdir(folder);
  await strata("mount", folder, `${NAME}:/mnt/ours`);
  await guest.attachPlain(folder, "/mnt/theirs");
  const write = (at: string) => `dd if=/dev/zero of=${at}/written bs=1M count=${mebibytes} conv=fsync`;
  const read = (at: string) =>
    `sync; echo 3 > /proc/sys/vm/drop_caches; dd if=${at}/written of=/dev/null bs=1M`;
  const figures: Figure[] = [];
  for (const [what, command] of Object.entries({ write, read })) {
    const rates: Readonly<Record<string, number[]>> = { "/mnt/ours": [], "/mnt/theirs": [] };
    for (let round = 0; round < scope.rounds; round++) {
      for (const [at, found] of Object.entries(rates)) {
        found.push(await guest.seconds(command(at)));
      }
    }
    const [ours, theirs] = Object.values(rates).map((found) => least(found) * 1000);
    figures.push({
      subject: "transfer",
      what: `${what} through a mount, ${mebibytes} MiB`,
      ours: ours ?? Number.NaN,
      peer: "virtiofs attached with virsh",
      theirs: theirs ?? Number.NaN,
    });
  }
  return figures;
}

/** A guest that is reached by strata and by OpenSSH with the same key. */
class Guest implements AsyncDisposable {
  readonly #strata: Strata;
  readonly #folder: string;
  readonly #address: string;
  readonly #key: string;

  private constructor(opened: Strata, folder: string, address: string, key: string) {
    this.#strata = opened;
    this.#folder = folder;
    this.#address = address;
    this.#key = key;
  }

  static async launch(folder: string): Promise<Guest> {
    const opened = await Strata.open();
    await opened.instances.launch({ image: "debian-micro", name: NAME, memory: 512n * 1024n ** 2n });
    const [found] = await opened.instances.info([NAME]);
    const address = found?.ipv4[0] ?? "";
    const key = join(folder, "key");
    const { privateKey } = await keyPair(join(defaultFolders().data, "ssh"));
    await writeFile(key, privateKey, { mode: 0o600 });
    return new Guest(opened, folder, address, key);
  }

  remote(path: string): string {
    return `ubuntu@${this.#address}:${path}`;
  }

  async scp(from: string, to: string): Promise<void> {
    const options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"];
    await execa("scp", ["-q", "-i", this.#key, ...options.flatMap((each) => ["-o", each]), from, to]);
  }

  /** Has virsh attach a folder of this host, and mounts it. */
  async attachPlain(source: string, target: string): Promise<void> {
    const device = `<filesystem type='mount' accessmode='passthrough'><driver type='virtiofs'/><source dir='${source}'/><target dir='${TAG}'/></filesystem>`;
    const file = join(this.#folder, "device.xml");
    await writeFile(file, device);
    await execa("virsh", ["-q", "-c", "qemu:///system", "attach-device", NAME, file, "--live"]);
    await this.#run(`mkdir -p ${target} && mount -t virtiofs ${TAG} ${target}`);
  }

  /** What dd says that its copy took. */
  async seconds(command: string): Promise<number> {
    return Number(/ copied, ([\d.]+) s/.exec(await this.#run(command))?.[1]);
  }

  /** Runs a command as root; resolves to what it said on standard error. */
  async #run(command: string): Promise<string> {
    const running = await this.#strata.guest.exec(NAME, ["sudo", "sh", "-c", command]);
    running.stdin.end();
    running.stdout.resume();
    const said = await text(running.stderr);
    const { code } = await running.exit;
    if (code !== 0) {
      throw new Error(`${command}: ${said}`);
    }
    return said;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#strata.delete([{ instance: NAME }], { purge: true });
    await this.#strata[Symbol.asyncDispose]();
  }
}

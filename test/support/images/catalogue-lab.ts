import { readFile, utimes, writeFile } from "node:fs/promises";
import { expect } from "chai";
import { execa } from "execa";
import type { FindOptions } from "../../../lib/core/api/strata.ts";
import {
  type Answer,
  catalogueFiles,
  fromFiles,
  type ImageServer,
  imageServer,
  type Product,
} from "./image-server.ts";
import { contextOf, type ImageRoom, imageRoom, makeImage, refusal, sha256 } from "./images.ts";

const DAY = 24 * 60 * 60 * 1000;
export const INDEX = "/streams/v1/index.json";
export const LIST = "/streams/v1/com.ubuntu.cloud:released:download.json";
export const IMAGE = "/server/releases/noble/ubuntu-24.04-server-cloudimg-amd64.img";

/** An image as a catalogue describes it. */
export const disk = (of: Buffer, path = IMAGE.slice(1)) => ({ path, size: of.length, sha256: sha256(of) });

/** A server that publishes images, and a room whose remotes it is. */
export class CatalogueLab implements AsyncDisposable {
  readonly room: ImageRoom;
  /** The image that is published, and another one. */
  readonly bytes: Buffer;
  readonly newer: Buffer;
  /** What the server has, by path. */
  readonly files: Record<string, string | Buffer>;
  #server: ImageServer | undefined;

  private constructor(room: ImageRoom, bytes: Buffer, newer: Buffer) {
    this.room = room;
    this.bytes = bytes;
    this.newer = newer;
    this.files = { [IMAGE]: bytes };
  }

  static async open(bytes: Buffer, newer: Buffer): Promise<CatalogueLab> {
    const lab = new CatalogueLab(await imageRoom(), bytes, newer);
    lab.publish({ versions: { "20260821": disk(bytes) } });
    await lab.serve(fromFiles(lab.files));
    return lab;
  }

  get server(): ImageServer {
    if (this.#server === undefined) {
      throw new Error("nothing is served");
    }
    return this.#server;
  }

  /** What the server publishes from now on. */
  publish(...products: Product[]): void {
    Object.assign(this.files, catalogueFiles(products));
  }

  /** The built-in remotes are replaced by the server: no test may ask the real ones. */
  async serve(answer: Answer): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    this.#server = await imageServer(answer);
    const remotes = {
      release: { url: this.server.url("/") },
      daily: { url: this.server.url("/daily") },
      lab: { url: this.server.url("/"), username: "tester" },
    };
    await writeFile(this.room.path("remotes.json"), JSON.stringify(remotes));
  }

  resolve(image: string, store = this.room.store) {
    return store.resolve(image, contextOf());
  }

  find(options: FindOptions = {}) {
    return this.room.store.find(options, contextOf());
  }

  /** How often the server was asked for a path. */
  asked(path: string): number {
    return this.server.seen.filter((each) => each.path === path).length;
  }

  /** As if an image had been launched so long ago. */
  async age(hash: string, days: number): Promise<void> {
    const then = new Date(Date.now() - days * DAY);
    await utimes(`${this.room.cache}/${hash}.json`, then, then);
  }

  /** As if what is kept of the catalogues had been asked for so long ago. */
  async ageManifest(remote: string, days: number): Promise<void> {
    const path = this.room.path(`cache/catalogues/${remote}.json`);
    const kept = JSON.parse(await readFile(path, "utf8"));
    await writeFile(path, JSON.stringify({ ...kept, fetchedAt: kept.fetchedAt - days * DAY }));
  }

  /** The image is refused, and nothing is kept of it. */
  async expectNothing(image: string): Promise<{ code: string; reason: string }> {
    const found = await refusal(this.resolve(image));
    expect(await this.room.cached().catch(() => [])).to.deep.equal([]);
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    await this.room[Symbol.asyncDispose]();
  }
}

/** Hooks of the suite that they are registered in: a new lab for each of its tests. */
export function labForEach(use: (lab: CatalogueLab) => void): void {
  let bytes: Buffer;
  let newer: Buffer;
  let lab: CatalogueLab | undefined;
  before(async () => {
    await using made = await imageRoom();
    for (const size of ["16M", "17M"]) {
      await makeImage(made.path(size), size);
    }
    await execa("qemu-io", ["-f", "qcow2", "-c", "write -P 0x5a 0 1M", made.path("16M")]);
    [bytes, newer] = await Promise.all([readFile(made.path("16M")), readFile(made.path("17M"))]);
  });
  beforeEach(async () => {
    lab = undefined;
    lab = await CatalogueLab.open(bytes, newer);
    use(lab);
  });
  afterEach(() => lab?.[Symbol.asyncDispose]());
}

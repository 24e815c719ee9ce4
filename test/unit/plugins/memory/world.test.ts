import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { memoryEngine } from "../../../../plugins/memory/index.ts";

const RESOURCES = { cpus: 2, memory: "bigint:1073741824", disk: "bigint:5368709120" };
const SIZES = { cpus: 2, memory: 1024n ** 3n, disk: 5n * 1024n ** 3n };

describe("the file of the memory engine", () => {
  it("is read as version 0.1.0 wrote it, a comment that looks like a size included", async () => {
    const folder = await mkdtemp(join(tmpdir(), "strata-memory-"));
    try {
      const file = join(folder, "memory.json");
      const common = { resources: RESOURCES, mounts: [], nics: [], contents: {} };
      const snapshot = { ...common, name: "one", comment: "bigint:12", parent: null, createdAt: 1 };
      const instance = { ...common, id: "1", name: "web", state: "stopped", record: {}, standsOn: "one" };
      await writeFile(file, JSON.stringify([{ ...instance, snapshots: [snapshot] }]), { mode: 0o600 });
      const { instances, snapshots } = memoryEngine({ file });
      expect((await instances.find("web"))?.resources).to.deep.equal(SIZES);
      const [found] = (await snapshots.tree("1")).snapshots;
      expect(found).to.deep.include({ comment: "bigint:12", resources: SIZES });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

import { expect } from "chai";
import { type CliRoom, cliRoom } from "../../../../support/cli.ts";

describe("df", () => {
  let at: CliRoom;
  beforeEach(async () => {
    at = await cliRoom();
    await at.done("launch", "debian", "--name", "web");
    await at.done("stop", "web");
    await at.done("snapshot", "web");
    await at.done("launch", "debian", "--name", "old");
    await at.done("delete", "old");
  });
  afterEach(() => at[Symbol.asyncDispose]());

  it("shows instances, what purge gives back, and the room that is left", async () => {
    const lines = (await at.done("df")).split("\n");
    expect(lines[0]).to.match(/^Instance +State +Disk +Snapshots +Flattened +Memory +Other +Size$/);
    expect(lines.filter((line) => /^(web +Stopped|old +Deleted) /.test(line))).to.have.length(2);
    expect(lines.find((line) => line.startsWith("Total"))).to.match(/^Total +2 +\S+ +[\d.]+\w+$/);
    expect(lines.at(-2)).to.contain(at.folder);
  });

  it("has numbers in JSON", async () => {
    const usage = JSON.parse(await at.done("df", "--format", "json"));
    const [old, web] = usage.instances;
    const { active, snapshots, flattened, memory, other } = web.parts;
    expect(web).to.include({ name: "web", engine: "memory", state: "Stopped", reclaimable: 0 });
    expect(web.size).to.equal(active + snapshots + flattened + memory + other);
    expect(old.reclaimable).to.equal(old.size).and.equal(usage.reclaimable);
    expect(usage.size).to.equal(web.size + old.size);
    expect(usage.fileSystems[0].free).to.be.a("number");
    expect(usage.images).to.deep.equal([]);
  });

  it("has as many fields in each line of CSV, and a text in YAML", async () => {
    const lines = (await at.done("df", "--format", "csv")).trimEnd().split("\n");
    expect(new Set(lines.map((line) => line.split(",").length)).size).to.equal(1);
    expect(lines.map((line) => line.split(",")[0])).to.deep.equal([
      "Type",
      "instance",
      "instance",
      "file system",
    ]);
    expect(await at.done("df", "--format", "yaml")).to.contain("- name: web\n");
  });
});

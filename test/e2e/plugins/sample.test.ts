import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { openStrata } from "../../../lib/core/session/open.ts";
import { buildSample, type Home, installStrata, makeHome, testPlugin } from "../../support/plugin.ts";
import { done, strata } from "../../support/program.ts";
import { story } from "../../support/story.ts";

const PACKAGE = "strata-plugin-sample";

describe("the sample engine of docs/plugins.md", () => {
  let home: Home;
  let sample: string;

  before(async () => {
    home = await makeHome();
    await installStrata(home.path);
    sample = await buildSample(home.path);
    // What npm would do with the two packages.
    await cp(sample, join(home.plugins, PACKAGE), { recursive: true });
    await cp(join(home.path, "node_modules/strata-vm"), join(home.plugins, "strata-vm"), {
      recursive: true,
      verbatimSymlinks: true,
    });
    await home.configure({});
  });
  after(() => home[Symbol.asyncDispose]());

  it("passes the conformance kit", async () => {
    const { failed, output } = await testPlugin(sample);
    expect(failed, output).to.equal(false);
    expect(output).to.match(/\n\s+[4-9]\d passing/);
  });

  it("fails the kit as soon as something that it declares does not work", async () => {
    const broken = join(home.path, "broken");
    await cp(sample, broken, { recursive: true });
    const path = join(broken, "dist/snapshots.js");
    const source = await readFile(path, "utf8");
    // A deletion that forgets the children.
    const wrong = source.replace("children.includes(snapshot.name)", "false");
    expect(wrong).not.to.equal(source);
    await writeFile(path, wrong);
    const { failed, output } = await testPlugin(broken);
    expect(failed).to.equal(true);
    expect(output).to.match(/deleted from the middle of a branched tree/);
  });

  it("is loaded once the configuration names it, and only then", async () => {
    const refused = await strata(["--driver", "sample", "list"], { env: home.env });
    expect(refused.code).to.equal(3);
    expect(refused.stderr).to.contain('engine "sample" does not exist');
    await done(["set", `local.plugins=${PACKAGE}`], { env: home.env });
    const { plugins } = JSON.parse(await done(["plugins", "--format", "json"], { env: home.env }));
    const found = plugins.find(({ name }: { name: string }) => name === "sample");
    expect(found).to.include({ state: "loaded", origin: `${PACKAGE} 0.1.0`, version: "0.1.0", api: "3.0.0" });
    expect(found.missing).to.have.property("suspend", "there is no memory to keep");
  });

  it("stands beside others: listed with them, found by name, and explained where it lacks something", async () => {
    const { env } = home;
    await home.configure({ "local.driver": "memory", "local.plugins": PACKAGE });
    await done(["launch", "debian", "--name", "here"], { env });
    await done(["--driver", "sample", "launch", "debian", "--name", "there"], { env });
    expect(await done(["list"], { env })).to.match(
      /^Engine +Name +State .*\nmemory +here +Running .*\nsample +there +Running /,
    );
    const { list, errors } = JSON.parse(await done(["list", "--format", "json"], { env }));
    expect(errors).to.deep.equal([]);
    expect(list).to.deep.include({
      name: "there",
      engine: "sample",
      state: "Running",
      ipv4: [],
      release: "debian",
    });
    expect(await done(["exec", "there", "--", "echo", "hello"], { env })).to.equal("hello\n");
    // What the one engine refuses keeps the other from beginning.
    expect((await strata(["suspend", "here", "there"], { env })).code).to.equal(11);
    expect((await strata(["delete", "--purge", "here", "there.never-taken"], { env })).code).to.equal(3);
    expect(await done(["list"], { env })).to.match(/\nmemory +here +Running .*\nsample +there +Running /);
    await done(["stop", "there", "here"], { env });
    expect(await done(["snapshot", "there"], { env })).to.equal("Snapshot taken: there.snapshot1\n");
    expect((await strata(["launch", "debian", "--name", "there"], { env })).code).to.equal(4);
    const refused = await strata(["suspend", "there"], { env });
    expect(refused.code).to.equal(11);
    expect(refused.stderr).to.contain("there is no memory to keep");
    // One engine, chosen: the shape that everybody knows.
    expect(await done(["--driver", "memory", "list"], { env })).to.match(
      /^Name +State +IPv4 +Release\nhere /,
    );
    await done(["delete", "--purge", "here", "there"], { env });
    expect(await done(["list"], { env })).to.equal("No instances found.\n");
  });

  describe("tells the story of an instance", () => {
    story(`story-sample-${process.pid}`, async () => {
      await home.configure({ "local.plugins": PACKAGE });
      const folder = (name: string) => join(home.path, name, "strata");
      const folders = { config: folder("config"), data: folder("data"), state: folder("state") };
      return { strata: await openStrata({ driver: "sample", folders }), image: "debian" };
    });
  });
});

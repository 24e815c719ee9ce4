import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { openStrata } from "../../../lib/core/session/open.ts";
import { buildSample, type Home, installStrata, makeHome, testPlugin } from "../../support/plugin.ts";
import { done, strata } from "../../support/program.ts";
import { story } from "../../support/story.ts";

const PACKAGE = "strata-plugin-sample";

describe("the sample engine of docs/plugins.md", () => {
  let home: Home;
  let sample: string;
  /** What `npm install --prefix` is told: the folder of plugins, which has nothing yet. */
  let prefix: string;

  before(async () => {
    home = await makeHome();
    await installStrata(home.path);
    sample = await buildSample(home.path);
    prefix = dirname(home.plugins);
    const { stdout } = await execa("npm", ["pack", "--silent", "--pack-destination", home.path], {
      cwd: sample,
    });
    const tarball = join(home.path, stdout.trim());
    const quiet = ["--offline", "--no-audit", "--no-fund", "--silent"];
    await execa("npm", ["install", ...quiet, "--prefix", prefix, tarball], { cwd: home.path });
    await home.configure({});
  });
  after(() => home[Symbol.asyncDispose]());

  it("is installed from its package alone, with strata elsewhere", async () => {
    expect((await readdir(home.plugins)).filter((name) => !name.startsWith("."))).to.deep.equal([PACKAGE]);
    const { env } = home;
    await home.configure({ "local.plugins": PACKAGE });
    expect(await done(["--driver", "sample", "list"], { env })).to.equal("No instances found.\n");
    await done(["--driver", "sample", "launch", "debian", "--name", "alone"], { env });
    // Its errors are of the table, with exit code and hint, though it has no strata to make them.
    const again = await strata(["--driver", "sample", "launch", "debian", "--name", "alone"], { env });
    expect(again.code, again.stderr).to.equal(4);
    expect(again.stderr).to.contain('instance "alone" already exists').and.to.contain("strata purge");
    await done(["--driver", "sample", "delete", "--purge", "alone"], { env });
    await home.configure({});
  });

  it("passes the conformance kit", async () => {
    const { failed, output } = await testPlugin(sample);
    expect(failed, output).to.equal(false);
    expect(output).to.match(/^engine sample: 6\d passed, \d+ not declared, 4 not tried$/m);
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
    story(
      `story-sample-${process.pid}`,
      async () => {
        await home.configure({ "local.plugins": PACKAGE });
        const folder = (name: string) => join(home.path, name, "strata");
        const folders = { config: folder("config"), data: folder("data"), state: folder("state") };
        return { strata: await openStrata({ driver: "sample", folders }), image: "debian" };
      },
      { running: false },
    );
  });
});

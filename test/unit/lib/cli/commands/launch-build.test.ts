import { expect } from "chai";
import type { BuildImageOptions, LaunchOptions } from "../../../../../lib/core/api/strata.ts";
import { openStrata } from "../../../../../lib/core/session/open.ts";
import { failure } from "../../../../../lib/errors.ts";
import { memoryEngine } from "../../../../../plugins/memory/index.ts";
import { type CliRoom, cliRoom } from "../../../../support/cli.ts";

describe("launch without an image on the host", () => {
  let at: CliRoom;
  let asked: string[];
  beforeEach(async () => {
    asked = [];
    at = await cliRoom(async (options) => {
      const strata = await openStrata({ ...options, engine: memoryEngine() });
      let built = false;
      const instances = {
        ...strata.instances,
        async launch({ image, ...more }: LaunchOptions) {
          asked.push(`launch ${image}`);
          if (!built && image === "default") {
            throw failure("NO_IMAGE", { reason: "no network", variant: "cloud" });
          }
          if (!built && image === "debian-micro") {
            throw failure("IMAGE_NOT_BUILT", { image, variant: "micro" });
          }
          return strata.instances.launch({ image, ...more });
        },
      };
      const images = {
        ...strata.images,
        async build({ variant }: BuildImageOptions) {
          asked.push(`build ${variant}`);
          built = true;
          const sizes = { size: 0n, virtualSize: 0n, createdAt: 0, usedAt: 0 };
          const aliases = [`debian-${variant}`, "debian"];
          return {
            sha256: "",
            os: "",
            release: "",
            aliases,
            source: "",
            outdated: false,
            system: false,
            ...sizes,
          };
        },
      };
      return { ...strata, instances, images };
    });
  });
  afterEach(() => at[Symbol.asyncDispose]());

  it("builds one and launches from it with --build", async () => {
    expect(await at.done("launch", "--name", "web", "--build")).to.equal("Launched: web\n");
    expect(asked).to.deep.equal(["launch default", "build cloud", "launch debian-cloud"]);
  });

  it("builds the one that was named", async () => {
    await at.done("launch", "debian-micro", "--name", "web", "--build");
    expect(asked).to.deep.equal(["launch debian-micro", "build micro", "launch debian-micro"]);
  });

  it("offers to on a terminal, also where the primary instance is to be started", async () => {
    const { code, stdout } = await at.onTerminal("yes\n", "launch", "--name", "web");
    expect([code, stdout]).to.satisfy(
      () => code === 0 && stdout.includes("none could be downloaded: no network"),
    );
    expect(asked).to.deep.equal(["launch default", "build cloud", "launch debian-cloud"]);
    const refused = await at.onTerminal("no\n", "start");
    expect(refused.code).to.equal(3);
    expect(asked.slice(3)).to.deep.equal(["launch default"]);
  });

  it("says what to run where nobody can be asked", async () => {
    const { code, stderr } = await at.strata("launch", "--name", "web");
    expect(code).to.equal(3);
    expect(stderr).to.equal(
      "strata: there is no image on this host, and none could be downloaded: no network\n" +
        "Build one from Debian's packages: strata image build debian --variant cloud\n",
    );
    expect(asked).to.deep.equal(["launch default"]);
  });
});

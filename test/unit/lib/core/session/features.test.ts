import { expect } from "chai";
import { requireFeature, requireGroup } from "../../../../../lib/core/session/features.ts";
import { openSession, type Session } from "../../../../../lib/core/session/session.ts";
import type { EngineInfo, Feature } from "../../../../../lib/engine/contract.ts";
import { isStrataError } from "../../../../../lib/errors.ts";
import { memoryEngine } from "../../../../../plugins/memory/index.ts";

/** A session on an engine with just these features. */
async function sessionWith(
  features: readonly Feature[],
  missing: Readonly<Partial<Record<Feature, string>>> = {},
): Promise<Session> {
  const engine = memoryEngine();
  const info = async (): Promise<EngineInfo> => ({
    ...(await engine.info()),
    engine: "Fake 3",
    features: new Set(features),
    missing: new Map(Object.entries(missing) as [Feature, string][]),
  });
  return openSession({ driver: "memory", engine: { ...engine, info } });
}

async function messageOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "nothing was refused",
    (error: unknown) => (isStrataError(error) ? `${error.code}: ${error.message}` : String(error)),
  );
}

describe("what an engine lacks", () => {
  it("is refused with the engine's own reason", async () => {
    const session = await sessionWith([], { clone: "its disks are shared" });
    expect(await messageOf(requireFeature(session, "clone", "cloning"))).to.equal(
      "UNSUPPORTED: cloning is not supported by Fake 3: its disks are shared",
    );
    expect(await messageOf(requireFeature(session, "suspend", "suspending"))).to.equal(
      "UNSUPPORTED: suspending is not supported by Fake 3: it does not have this feature",
    );
  });

  it("is not refused when one of several features would do", async () => {
    const session = await sessionWith(["mount.classic"], { "mount.native": "no virtiofs here" });
    await requireFeature(session, ["mount.native", "mount.classic"], "mounting");
    const without = await sessionWith([], { "mount.native": "no virtiofs", "mount.classic": "no sshfs" });
    expect(await messageOf(requireFeature(without, ["mount.native", "mount.classic"], "mounting"))).to.match(
      /no virtiofs; no sshfs$/,
    );
  });

  it("gives the group that is declared, and names the plugin that declares one it has not", async () => {
    const session = await sessionWith(["suspend", "cluster"]);
    const suspend = await requireGroup(
      session,
      "suspend",
      "suspending",
      ({ instances }) => instances.suspend,
    );
    expect(suspend).to.be.a("function");
    expect(await messageOf(requireGroup(session, "cluster", "moving", ({ cluster }) => cluster))).to.match(
      /^PLUGIN_ERROR: engine plugin "memory": it declares cluster/,
    );
  });
});

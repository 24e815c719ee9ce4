import { expect } from "chai";
import { repair } from "../../../../../lib/core/host/audit.ts";
import type { Session } from "../../../../../lib/core/session/session.ts";
import type { Finding, Maintenance } from "../../../../../lib/engine/contract.ts";
import { failure } from "../../../../../lib/errors.ts";

/** A session with an engine that repairs all findings but those of one kind. */
function sessionThatRefuses(kind: string): Session {
  const maintenance: Maintenance = {
    audit: async () => [],
    async repair(finding) {
      if (finding.kind === kind) {
        throw failure("WRONG_STATE", { name: "web", reason: "No", state: "Running" });
      }
      return true;
    },
  };
  return { engine: async () => ({ maintenance }) } as unknown as Session;
}

const finding = (kind: string): Finding => ({ kind, subject: kind, detail: "it is so", repair: "mend it" });

describe("repairing several findings", () => {
  it("goes on after one that is refused, and tells of it", async () => {
    const warnings: string[] = [];
    const repaired = await repair(
      sessionThatRefuses("second"),
      ["first", "second", "third"].map(finding),
      undefined,
      { warn: (message) => warnings.push(message) },
    );
    expect(repaired.map(({ kind }) => kind)).to.deep.equal(["first", "third"]);
    expect(warnings).to.have.length(1);
    expect(warnings[0]).to.match(/^second was not repaired/);
  });

  it("rejects where the only one is refused", async () => {
    const refused = await repair(sessionThatRefuses("only"), [finding("only")]).catch((error) => error.code);
    expect(refused).to.equal("WRONG_STATE");
  });
});

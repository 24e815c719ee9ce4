import { expect } from "chai";
import { execa } from "execa";
import { openStrata } from "../../../../../lib/core/session/open.ts";
import type { AuditOptions, Engine, Finding, Maintenance } from "../../../../../lib/engine/contract.ts";
import { failure } from "../../../../../lib/errors.ts";
import { memoryEngine } from "../../../../../plugins/memory/index.ts";
import { type CliRoom, cliRoom } from "../../../../support/cli.ts";

const CHOICES = [
  { name: "record", detail: "record it again as a snapshot" },
  { name: "activate", detail: "make it the active layer" },
  { name: "remove", detail: "remove it with all that it holds" },
];
const ORPHAN: Finding = {
  kind: "layer-orphaned",
  instance: "web",
  subject: "/pool/it's $(here)/layer-1.qcow2",
  detail: "no snapshot names it",
  choices: CHOICES,
};
const MARK: Finding = {
  kind: "current-snapshot-misplaced",
  instance: "web",
  subject: "s1",
  detail: "libvirt marks none",
  repair: "mark it",
};
const LOST: Finding = { kind: "layer-missing", instance: "db", subject: "/pool/b.qcow2", detail: "gone" };

interface Room extends CliRoom {
  /** What the engine finds. */
  findings: readonly Finding[];
  /** What it was asked to repair, each with its choice. */
  readonly asked: (readonly [subject: string, choice: string | undefined])[];
  readonly audits: (AuditOptions | undefined)[];
}

/** Commands on an engine that finds what the test says, and whose repairs take it away. */
async function roomWith(findings: readonly Finding[], more: Partial<Maintenance> = {}): Promise<Room> {
  const asked: Room["asked"] = [];
  const audits: Room["audits"] = [];
  const maintenance: Maintenance = {
    async audit(options) {
      audits.push(options);
      return room.findings;
    },
    async repair(finding, _context, choice) {
      asked.push([finding.subject, choice]);
      room.findings = room.findings.filter(({ kind, subject }) => `${kind} ${subject}` !== keyOf(finding));
      return true;
    },
    ...more,
  };
  const engine: Engine = { ...memoryEngine(), maintenance };
  const at = await cliRoom((options) => openStrata({ ...options, driver: "memory", engine }));
  const room: Room = Object.assign(at, { findings, asked, audits });
  return room;
}

const keyOf = ({ kind, subject }: Finding) => `${kind} ${subject}`;

describe("doctor", () => {
  it("repairs what has one repair, and leaves what is to be chosen to the user", async () => {
    await using at = await roomWith([ORPHAN, MARK, LOST]);
    const { code, stdout } = await at.strata("doctor", "--repair", "-y");
    expect(at.asked).to.deep.equal([["s1", undefined]]);
    expect(code).to.equal(1);
    expect(stdout).to.contain("layer-orphaned").and.to.contain("layer-missing");
    expect(stdout.slice(stdout.indexOf("layer-orphaned"))).not.to.contain("libvirt marks none");
  });

  it("shows each choice with a command that a shell runs as it is meant", async () => {
    await using at = await roomWith([ORPHAN]);
    const { stdout } = await at.strata("doctor");
    const lines = stdout.split("\n").filter((line) => line.includes("--by"));
    expect(lines.map((line) => line.trim().split(": ")[1])).to.deep.equal(
      CHOICES.map(({ detail }) => detail),
    );
    const [first = ""] = lines;
    const pasted = first.slice(first.indexOf("strata doctor")).replace("strata", "printf '%s\\n'");
    const { stdout: words } = await execa("sh", ["-c", pasted]);
    expect(words.split("\n")).to.deep.equal([
      "doctor",
      "--repair",
      "--only",
      ORPHAN.subject,
      "--by",
      "record",
    ]);
  });

  it("names the engine in these commands where the user did", async () => {
    await using at = await roomWith([ORPHAN]);
    expect(await at.strata("--driver", "memory", "doctor")).to.have.property(
      "stdout",
      (await at.strata("doctor")).stdout.replaceAll("strata doctor", "strata --driver memory doctor"),
    );
  });

  it("makes the one choice that was named, after showing it", async () => {
    for (const { name, detail } of CHOICES) {
      await using at = await roomWith([ORPHAN, MARK]);
      const args = ["doctor", "--repair", "--only", ORPHAN.subject, "--by", name];
      const { stdout } = await at.onTerminal("yes\n", ...args);
      expect(stdout).to.contain(`-> ${detail}`);
      expect(at.asked).to.deep.equal([[ORPHAN.subject, name]]);
      expect(at.findings).to.deep.equal([MARK]);
    }
  });

  it("repairs one finding only, where one is named", async () => {
    const other = { ...MARK, subject: "-s2" };
    await using at = await roomWith([MARK, other]);
    await at.strata("doctor", "--repair", "-y", "--only", "-s2");
    expect(at.findings).to.deep.equal([MARK]);
  });

  it("says which subjects and choices there are", async () => {
    await using at = await roomWith([ORPHAN, MARK, LOST]);
    const refused = async (...args: string[]) => {
      const { code, stderr } = await at.strata("doctor", "--repair", "-y", ...args);
      return `${code} ${stderr}`;
    };
    expect(await refused("--only", "s9")).to.match(/^3 .*found no problem with "s9"/);
    expect(await refused("--only", "s9")).to.contain(`${ORPHAN.subject}, s1, ${LOST.subject}`);
    expect(await refused("--only", ORPHAN.subject, "--by", "merge")).to.match(
      /^2 .*"merge".*must be one of record, activate, remove/,
    );
    expect(await refused("--only", ORPHAN.subject)).to.match(
      /^2 .*--by must be one of record, activate, remove/,
    );
    expect(await refused("--only", "s1", "--by", "remove")).to.match(/^2 .*no choice is offered for it/);
    expect(await refused("--only", LOST.subject)).to.match(/^2 .*cannot repair .* without guessing/);
    expect(await refused("--by", "record")).to.match(/^2 .*--by requires --only/);
    expect((await at.strata("doctor", "--only", "s1")).stderr).to.contain("--only requires --repair");
    expect(at.asked).to.deep.equal([]);
  });

  it("asks whose subject is meant where two instances have it", async () => {
    const [web, db] = ["web", "db"].map((instance) => ({ ...MARK, kind: `mark-of-${instance}`, instance }));
    if (web === undefined || db === undefined) {
      throw new Error("two");
    }
    await using at = await roomWith([web, { ...db, choices: CHOICES }]);
    const { code, stderr } = await at.strata("doctor", "--repair", "-y", "--only", "s1");
    expect([code, stderr]).to.deep.equal([2, 'strata: "s1" is ambiguous: name one of web:s1, db:s1\n']);
    expect((await at.strata("doctor")).stdout).to.contain("--only db:s1 --by record");
    await at.strata("doctor", "--repair", "-y", "--only", "db:s1", "--by", "record");
    expect(at.asked).to.deep.equal([["s1", "record"]]);
  });

  it("has choices in every format", async () => {
    await using at = await roomWith([ORPHAN, MARK]);
    const { stdout } = await at.strata("doctor", "--format", "json");
    const { findings } = JSON.parse(stdout);
    expect(findings.map(({ choices }: Finding) => choices)).to.deep.equal([CHOICES, []]);
    expect((await at.strata("doctor", "--format", "yaml")).stdout).to.contain("name: activate");
    expect((await at.strata("doctor", "--format", "csv")).stdout).to.contain("--by activate");
  });

  it("looks at contents where it is asked to", async () => {
    await using at = await roomWith([]);
    await at.done("doctor");
    await at.done("doctor", "--deep");
    expect(at.audits.map((options) => options?.deep)).to.deep.equal([false, true]);
    at.findings = [MARK, ORPHAN];
    const { stdout } = await at.strata("doctor", "--deep");
    expect(stdout).to.contain("mark it: strata doctor --deep --repair\n");
    expect(stdout).to.contain("strata doctor --deep --repair --only");
  });

  it("has nothing to say of records on an engine that cannot tell", async () => {
    await using at = await cliRoom();
    await at.done("doctor", "--deep", "--repair", "-y");
  });
});

describe("the library's repair", () => {
  it("refuses a choice that a finding has not, before it repairs any", async () => {
    await using at = await roomWith([]);
    const maintenance: Maintenance = {
      audit: async () => [],
      async repair({ subject }, _context, choice) {
        at.asked.push([subject, choice]);
        return true;
      },
    };
    await using strata = await openStrata({ driver: "memory", engine: { ...memoryEngine(), maintenance } });
    const refused = await strata.maintenance
      .repair([ORPHAN, MARK], { choice: "record" })
      .catch((error: Error) => error);
    expect(refused).to.have.property("code", "INVALID_VALUE");
    expect(await strata.maintenance.repair([ORPHAN, MARK])).to.deep.equal([MARK]);
    expect(await strata.maintenance.repair([ORPHAN], { choice: "record" })).to.deep.equal([ORPHAN]);
    expect(at.asked).to.deep.equal([
      ["s1", undefined],
      [ORPHAN.subject, "record"],
    ]);
  });
});

describe("recover --from", () => {
  it("brings an instance back from its folder, and says which it is", async () => {
    const asked: string[] = [];
    const recover = async (folder: string) => {
      asked.push(folder);
      if (folder.endsWith("none")) {
        throw failure("FILE_NOT_FOUND", { path: folder });
      }
      return "web";
    };
    await using at = await roomWith([], { recover });
    expect(await at.done("recover", "--from", "/pool/instances/1")).to.equal("Recovered: web\n");
    expect((await at.strata("recover", "--from", "none")).code).to.equal(3);
    expect(asked).to.deep.equal(["/pool/instances/1", `${process.cwd()}/none`]);
    expect((await at.strata("recover", "--from", "/pool", "web")).stderr).to.contain("not both");
  });

  it("is refused by an engine that keeps no copies", async () => {
    for (const at of [await cliRoom(), await roomWith([])]) {
      await using room = at;
      const { code, stderr } = await room.strata("recover", "--from", "/pool/instances/1");
      expect(code).to.equal(11);
      expect(stderr).to.contain("recovering an instance from its folder is not supported by");
    }
  });
});

import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { expect } from "chai";
import {
  asStrataError,
  type DetailsOf,
  ERRORS,
  type ErrorCode,
  errnoOf,
  failure,
  reasonOf,
  StrataError,
  strataErrorOf,
} from "../../../lib/errors.ts";

const told = <Code extends ErrorCode>(code: Code, details: DetailsOf<Code>) => {
  const { message, hint } = new StrataError(code, details);
  return [message, hint];
};

describe("errors", () => {
  it("are all in the guide, each in the row of its exit code", () => {
    const guide = readFileSync(new URL("../../../docs/guide.md", import.meta.url), "utf8");
    const rows = [...guide.matchAll(/^\| (\d+) +\|[^|]+\|((?: `[A-Z_]+`)+) *\|$/gm)];
    const found = rows.flatMap(([, exit, codes = ""]) =>
      [...codes.matchAll(/`([A-Z_]+)`/g)].map(([, code]) => `${code} ${exit}`),
    );
    const wanted = Object.entries(ERRORS).map(([code, { exit }]) => `${code} ${exit}`);
    expect(found.sort()).to.deep.equal(wanted.sort());
  });

  it("tell what takes an instance out of the state that it is in", () => {
    const reason = "Only such instances can";
    expect(told("WRONG_STATE", { name: "web", reason, state: "Running" })[1]).to.equal(
      "`strata stop web` stops it.",
    );
    expect(told("WRONG_STATE", { name: "web", reason, state: "Stopped" })[1]).to.equal(
      "`strata start web` starts it.",
    );
    expect(told("WRONG_STATE", { name: "web", reason, state: "not alone on it" })[1]).to.equal(undefined);
  });

  it("claim nothing of an operation's outcome that the row cannot know", () => {
    const claims = /nothing (was|has been|is) (changed|lost)|as it (is|was)\b|finishes or undoes/i;
    const claiming = Object.entries(ERRORS).filter(([, { message, hint }]) =>
      claims.test(`${message} ${typeof hint === "string" ? hint : ""}`),
    );
    expect(claiming.map(([code]) => code)).to.deep.equal([]);
  });

  it("leave a backup tool's checkpoints to whoever uses it, with commands to paste", () => {
    const [message, hint] = told("CHECKPOINTS_IN_WAY", { name: "web", checkpoints: "daily1, daily2" });
    expect(message).to.equal('libvirt refuses this while "web" has checkpoints: daily1, daily2');
    expect(hint).to.contain("`virsh checkpoint-list web`").and.to.contain("a full one");
  });

  it("name what still works beside an operation that cannot be finished", () => {
    const [message, hint] = told("OPERATION_UNFINISHED", { name: "web", kind: "merge", reason: "no space" });
    expect(message).to.equal('an earlier operation (merge) on "web" could not be finished: no space');
    expect(hint).to.contain("`strata doctor`").and.to.contain("`strata delete --purge`");
  });

  it("give commands that can be pasted, whatever the names in them", () => {
    const odd = "it's; $(touch x) `id`";
    const word = "'it'\\''s; $(touch x) `id`'";
    expect(told("INSTANCE_DELETED", { name: odd })[1]).to.contain(`strata recover ${word}\``);
    expect(told("PLUGIN_MISSING", { package: odd, folder: "/a b" })[1]).to.contain(
      `\`npm install --prefix '/a b' ${word}\` installs it.`,
    );
    // What is not a command stays as it is.
    expect(told("REMOTE_NOT_FOUND", { remote: "x", known: "a, b", path: "/c d" })[1]).to.equal(
      "Known remotes: a, b. Define further ones in /c d.",
    );
  });

  it("tell sizes as they are typed, and round nothing", () => {
    const shrink = (current: bigint, wanted: bigint) =>
      told("DISK_SHRINK", { name: "web", current, wanted })[0];
    const gib = 1024n ** 3n;
    expect(shrink(5n * gib, 4n * gib)).to.equal('the disk of "web" cannot shrink from 5G to 4G');
    expect(shrink(5n * gib, 5n * gib - 1024n)).to.contain("from 5G to 5242879K");
    expect(shrink(5n * gib, 5n * gib - 1n)).to.contain("from 5G to 5368709119 bytes");
  });
});

describe("whatever was thrown", () => {
  it("is an error of the table where it is one already, or comes of an aborted call", () => {
    const busy = failure("BUSY", { name: "web" });
    expect(strataErrorOf(busy)).to.equal(busy);
    const aborted = new DOMException("stop", "AbortError");
    expect(strataErrorOf(aborted)).to.include({ code: "CANCELLED", cause: aborted });
    expect(strataErrorOf(new Error("no"))).to.equal(undefined);
    expect(asStrataError(aborted).code).to.equal("CANCELLED");
    expect(asStrataError("no")).to.include({ code: "INTERNAL", message: "internal error: no" });
  });

  it("tells its reason, and the code of a failed call of the system", async () => {
    const missing = await readFile("/nonexistent/file").catch((error: unknown) => error);
    expect(errnoOf(missing)).to.equal("ENOENT");
    expect(reasonOf(missing)).to.contain("no such file");
    expect([reasonOf("gone"), reasonOf(undefined)]).to.deep.equal(["gone", "undefined"]);
    expect([errnoOf(new Error("no")), errnoOf("ENOENT")]).to.deep.equal([undefined, undefined]);
    expect(errnoOf(Object.assign(new Error("no"), { code: 42 }))).to.equal(undefined);
  });
});

import { expect } from "chai";
import fc from "fast-check";
import { EXIT } from "../../lib/errors.ts";
import { type CliRoom, cliRoom } from "../support/cli.ts";
import { runs } from "./runs.ts";

const odd = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 12 }),
  fc.constantFrom(
    "",
    "-",
    "--",
    "-1",
    "1e9",
    "1.5",
    "9".repeat(400),
    "../x",
    "a.b",
    "a.b.c",
    "=",
    "a=b",
    "\u001b[31m",
    "__proto__",
    "constructor",
  ),
);
const names = fc.constantFrom(
  "one",
  "two",
  "one.first",
  "one.none",
  "two.first",
  "gone",
  "primary",
  ".",
  "one.",
  ".first",
);
const numbers = fc.constantFrom("0", "1", "2", "64M", "512M", "1.5G", "100T", "-5", "1G2");
const keys = fc.constantFrom(
  "local.one.cpus",
  "local.one.memory",
  "local.one.disk",
  "local.one.first.name",
  "local.one.first.comment",
  "local.driver",
  "client.primary-name",
  "local.none.cpus",
  "local..",
  "local.one.__proto__",
);
const settings = fc.tuple(keys, fc.oneof(odd, numbers, names)).map((parts) => parts.join("="));
const options = fc.constantFrom(
  "--name",
  "--comment",
  "--format",
  "json",
  "csv",
  "yaml",
  "table",
  "xml",
  "--all",
  "--purge",
  "-d",
  "--snapshots",
  "--tree",
  "--cpus",
  "--memory",
  "--disk",
  "--timeout",
  "--force",
  "--help",
  "-v",
  "--destructive",
  "-n",
  "-m",
  "-c",
);
const verbs = fc.constantFrom(
  "launch",
  "list",
  "info",
  "start",
  "stop",
  "restart",
  "suspend",
  "exec",
  "snapshot",
  "restore",
  "delete",
  "recover",
  "purge",
  "get",
  "set",
  "clone",
  "transfer",
  "alias",
  "aliases",
  "unalias",
  "prefer",
  "mount",
  "umount",
  "networks",
  "version",
  "doctor",
  "plugins",
  "completion",
  "help",
  "find",
  "image",
  "nonsense",
);
const commandLines = fc
  .tuple(
    verbs,
    fc.array(fc.oneof({ weight: 3, arbitrary: names }, options, odd, numbers, settings, keys), {
      maxLength: 6,
    }),
  )
  .map(([verb, rest]) => [verb, ...rest])
  // Neither leaves the machine nor waits for one.
  .filter(([verb, ...rest]) => verb !== "find" && !(verb === "image" && rest.includes("build")));

const codes = new Set<number>([0, ...Object.values(EXIT)]);

describe("command lines of any kind", () => {
  let at: CliRoom;
  before(async () => {
    at = await cliRoom();
    for (const name of ["one", "two", "gone"]) {
      await at.done("launch", "any", "--name", name);
    }
    await at.done("stop", "one", "two");
    await at.done("snapshot", "one", "--name", "first");
    await at.done("delete", "gone");
  });
  after(() => at[Symbol.asyncDispose]());

  it("end with an exit code of the table and no fault of ours, and lists stay readable", async () => {
    await fc.assert(
      fc.asyncProperty(commandLines, async (argv) => {
        const { code, stderr } = await at.strata(...argv);
        // `exec` ends as its command does.
        if (argv[0] !== "exec") {
          expect(codes, JSON.stringify(argv)).to.include(code);
        }
        expect(stderr, JSON.stringify(argv)).not.to.contain("internal error");
        if (code !== 0 && argv[0] !== "exec" && argv[0] !== "doctor" && argv[0] !== "plugins") {
          expect(stderr, JSON.stringify(argv)).not.to.equal("");
        }
      }),
      runs(),
    );
    const { list } = JSON.parse(await at.done("list", "--format", "json"));
    expect(list).to.be.an("array");
  });
});

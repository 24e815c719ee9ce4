import { Writable } from "node:stream";
import { expect } from "chai";
import { fileOutput, lossOf, watch, writeTo } from "../../../../lib/cli/output.ts";
import { type CliRoom, cliRoom } from "../../../support/cli.ts";

/** A stream that takes nothing, as `/dev/full` and a pipe whose reader has gone do. */
function refusing(code: "ENOSPC" | "EPIPE"): Writable {
  const [errno, text] = code === "ENOSPC" ? [-28, "no space left on device, write"] : [-32, "broken pipe"];
  return new Writable({
    write: (_chunk, _encoding, done) => done(Object.assign(new Error(`${code}: ${text}`), { code, errno })),
  });
}

const FULL = "strata: the output could not be written: no space left on device; ";
const CARRIED_OUT = `${FULL}the command itself was carried out\n`;

describe("output that cannot be written", () => {
  let at: CliRoom;
  beforeEach(async () => {
    at = await cliRoom();
    await at.done("launch", "any", "-n", "web");
    await at.done("stop", "web");
  });
  afterEach(() => at[Symbol.asyncDispose]());

  const snapshots = async () => {
    const { info } = JSON.parse(await at.done("list", "--snapshots", "--format", "json"));
    return Object.keys(info.web ?? {});
  };
  const full = (...args: string[]) => at.onto({ stdout: refusing("ENOSPC") }, ...args);
  const closed = (...args: string[]) => at.onto({ stdout: refusing("EPIPE") }, ...args);

  it("is told in one line, with a code of its own, after what was done", async () => {
    const { code, stderr } = await full("snapshot", "web", "--name", "a");
    expect({ code, stderr }).to.deep.equal({ code: 13, stderr: CARRIED_OUT });
    expect(await snapshots()).to.deep.equal(["a"]);
  });

  it("keeps no command from what it does between the lines that it writes", async () => {
    await at.done("snapshot", "web", "--name", "a");
    const { code } = await full("restore", "--destructive", "web.a");
    expect(code).to.equal(13);
    expect((await closed("delete", "--purge", "web.a")).code).to.equal(0);
    expect(await snapshots()).to.deep.equal([]);
  });

  for (const format of ["table", "json", "yaml", "csv"]) {
    for (const command of [["list"], ["list", "--snapshots"], ["info", "web"], ["aliases"], ["plugins"]]) {
      it(`is told by ${command.join(" ")} as ${format}`, async () => {
        const { code, stderr } = await full(...command, "--format", format);
        expect({ code, stderr }).to.deep.equal({ code: 13, stderr: CARRIED_OUT });
      });
    }
  }

  for (const command of [["--help"], ["help"], ["help", "launch"], ["--version"], ["completion", "bash"]]) {
    it(`is told by ${command.join(" ")}`, async () => {
      const { code, stderr } = await full(...command);
      expect({ code, stderr }).to.deep.equal({ code: 13, stderr: CARRIED_OUT });
    });
  }

  it("ends a command that does nothing but hand output on", async () => {
    await at.done("start", "web");
    at.input = "text";
    const { code, stderr } = await full("exec", "web", "--", "cat");
    expect({ code, stderr }).to.deep.equal({ code: 13, stderr: `${FULL}the command stopped there\n` });
  });

  it("goes unmentioned where the reader has seen enough", async () => {
    await at.done("start", "web");
    at.input = "text";
    for (const command of [["list"], ["--help"], ["exec", "web", "--", "cat"]]) {
      const { code, stderr } = await closed(...command);
      expect({ command, code, stderr }).to.deep.equal({ command, code: 0, stderr: "" });
    }
  });

  it("hides no other failure", async () => {
    for (const attempt of [full, closed]) {
      const { code, stderr } = await attempt("snapshot", "nosuch");
      expect(code).to.equal(3);
      expect(stderr).to.contain('instance "nosuch" does not exist');
    }
  });

  it("leaves the outcome to the exit code where it is standard error", async () => {
    const stderr = refusing("ENOSPC");
    expect((await at.onto({ stderr }, "snapshot", "web", "--name", "a")).code).to.equal(0);
    expect((await at.onto({ stderr: refusing("EPIPE") }, "snapshot", "nosuch")).code).to.equal(3);
    expect((await at.onto({ stderr: refusing("ENOSPC") }, "-vvvv", "list")).code).to.equal(0);
  });
});

describe("a file that output goes to", () => {
  /** A disk with so much room: the last write that fits is a short one. */
  function disk(room: number) {
    const taken: Buffer[] = [];
    const put = (_: number, bytes: Uint8Array) => {
      const fits = Buffer.from(bytes.subarray(0, Math.min(bytes.length, 10, room)));
      if (fits.length === 0) {
        throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC", errno: -28 });
      }
      room -= fits.length;
      taken.push(fits);
      return fits.length;
    };
    return { output: fileOutput(1, put), text: () => Buffer.concat(taken).toString() };
  }

  it("gets all, however little a write takes", async () => {
    const { output, text } = disk(1000);
    expect(await writeTo(output, "ä".repeat(100))).to.equal(true);
    expect(text()).to.equal("ä".repeat(100));
  });

  it("is known to be cut off where the disk is full in the middle of a text", async () => {
    const { output } = disk(15);
    watch(output);
    expect(await writeTo(output, "x".repeat(20))).to.equal(false);
    expect(await writeTo(output, "more")).to.equal(false);
    expect(await lossOf(output)).to.have.property("code", "ENOSPC");
  });
});

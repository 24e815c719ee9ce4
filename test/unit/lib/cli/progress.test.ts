import { PassThrough } from "node:stream";
import { mock } from "node:test";
import { expect } from "chai";
import { describe as describeStep, progressLine } from "../../../../lib/cli/progress.ts";

/** A progress line on a standard error that is a terminal or none, with time in the test's hands. */
function line(o: { isTTY: boolean; verbose?: boolean }) {
  const stderr = Object.assign(new PassThrough(), { isTTY: o.isTTY });
  const stdout = new PassThrough();
  const progress = progressLine(
    { stdin: new PassThrough(), stdout, stderr, env: {} },
    () => o.verbose === true,
  );
  return { progress, read: () => String(stderr.read() ?? "") };
}

describe("progress", () => {
  beforeEach(() => mock.timers.enable({ apis: ["setInterval", "Date"] }));
  afterEach(() => mock.timers.reset());

  it("without a terminal says nothing of what is done at once, and tells of what takes long", () => {
    const { progress, read } = line({ isTTY: false });
    progress.show({ phase: "Taking snapshot" });
    mock.timers.tick(1000);
    progress.show({ phase: "Merging layers" });
    mock.timers.tick(1500);
    expect(read()).to.equal("");
    mock.timers.tick(500);
    expect(read()).to.equal("Merging layers\n");
    mock.timers.tick(20_000);
    expect(read()).to.equal("");
    progress.clear();
    mock.timers.tick(60_000);
    expect(read()).to.equal("");
  });

  it("without a terminal tells again how long a wait has lasted", () => {
    const { progress, read } = line({ isTTY: false });
    const wait = { since: Date.now(), timeout: 300_000 };
    progress.show({ phase: "Waiting for web: no address yet", wait });
    for (let ms = 0; ms < 32_000; ms += 500) {
      mock.timers.tick(500);
    }
    expect(read()).to.equal(
      "Waiting for web: no address yet (2 s of 300)\nWaiting for web: no address yet (32 s of 300)\n",
    );
  });

  it("with -v has a line for every phase at once, on a terminal too", () => {
    for (const isTTY of [true, false]) {
      const { progress, read } = line({ isTTY, verbose: true });
      progress.show({ phase: "Taking snapshot" });
      expect(read()).to.equal("Taking snapshot\n");
      progress.clear();
    }
  });

  it("on a terminal makes room for what is written meanwhile, and comes back", () => {
    const { progress, read } = line({ isTTY: true });
    progress.show({ phase: "Starting" });
    read();
    progress.above("strata: warning: careful\n");
    expect(read()).to.match(/^\r\u001b\[Kstrata: warning: careful\n\r\u001b\[KStarting .$/);
    progress.clear();
  });

  it("tells which of several things it is about", () => {
    const item = { number: 2, of: 5 };
    expect(describeStep({ phase: "Repairing", item })).to.equal("[2/5] Repairing");
    expect(describeStep({ phase: "Transferring", item, done: 1n, total: 4n })).to.equal(
      "[2/5] Transferring 25% of 4B",
    );
  });

  it("tells percents where the whole is known", () => {
    expect(describeStep({ phase: "Copying", done: 1n, total: 4n })).to.equal("Copying 25% of 4B");
  });
});

import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { execa } from "execa";
import { done, guestImage, strata } from "../../support/program.ts";

const NAME = `strata-test-boot-${process.pid}`;

async function state(): Promise<string | undefined> {
  const { list } = JSON.parse(await done(["list", "--format", "json"])) as {
    list: { name: string; state: string }[];
  };
  return list.find(({ name }) => name === NAME)?.state;
}

/** The states that `list` shows, one after the other, while something goes on. */
async function statesDuring(work: Promise<unknown>): Promise<(string | undefined)[]> {
  const seen: (string | undefined)[] = [];
  let over = false;
  const end = work.finally(() => {
    over = true;
  });
  while (!over) {
    const now = await state();
    if (seen.at(-1) !== now) {
      seen.push(now);
    }
    await delay(100);
  }
  await end;
  return seen;
}

describe("a guest that boots under libvirt", () => {
  before(async () => {
    await guestImage();
    const size = ["--cpus", "1", "--memory", "400M", "--disk", "3G", "--timeout", "900"];
    await done(["launch", "debian-micro", "--name", NAME, ...size]);
  });
  after(async () => {
    await strata(["delete", "--purge", NAME]);
  });

  it("is Starting from its start to the first login, and no other state shows in between", async () => {
    await done(["stop", NAME]);
    const seen = await statesDuring(done(["start", "--timeout", "900", NAME]));
    // The first look may come before the start, and the last one after the login.
    const shown = seen.filter((each, at) => !(each === "Stopped" && at === 0));
    expect(shown.filter((each, at) => !(each === "Running" && at === shown.length - 1))).to.deep.equal([
      "Starting",
    ]);
    expect(await state()).to.equal("Running");
  });

  it("is waited for by a command, which starts it if it is stopped", async () => {
    await done(["stop", NAME]);
    const start = done(["start", "--timeout", "900", NAME]);
    while ((await state()) !== "Starting") {
      await delay(100);
    }
    expect(await done(["exec", "--timeout", "900", NAME, "--", "echo", "booted"])).to.equal("booted\n");
    await start;
    await done(["stop", NAME]);
    expect(await done(["exec", "--timeout", "900", NAME, "--", "echo", "started"])).to.equal("started\n");
    expect(await state()).to.equal("Running");
  });

  it("is waited for as well if virsh has started it", async () => {
    await done(["stop", NAME]);
    await execa("virsh", ["-q", "start", NAME]);
    expect(await done(["exec", "--timeout", "900", NAME, "--", "echo", "there"])).to.equal("there\n");
    const { code, stderr } = await strata(["info", NAME, "--wait", "--timeout", "900"]);
    expect([code, stderr.includes("does not answer")], stderr).to.deep.equal([0, false]);
  });

  it("is given up on when the time is up, and stays Starting until somebody gets in", async () => {
    await done(["stop", NAME]);
    const { code, stderr } = await strata(["exec", "--timeout", "1", NAME, "--", "true"]);
    expect([code, stderr.includes("does not answer")], stderr).to.deep.equal([10, true]);
    expect(await state()).to.equal("Starting");
    await done(["start", "--timeout", "900", NAME]);
    expect(await state()).to.equal("Running");
  });
});

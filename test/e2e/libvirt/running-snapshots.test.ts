import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { done, guestImage, strata } from "../../support/program.ts";

const NAME = `strata-test-running-${process.pid}`;
/** Its disk is small and it stays stopped. */
const OTHER = `${NAME}-other`;

async function inside(script: string): Promise<string> {
  return (await done(["exec", NAME, "--", "sh", "-c", script])).trim();
}

async function state(): Promise<string | undefined> {
  const { list } = JSON.parse(await done(["list", "--format", "json"]));
  return list.find((each: { name: string }) => each.name === NAME)?.state;
}

async function labels(): Promise<Record<string, string>> {
  const found = JSON.parse(await done(["list", "--snapshots", "-o", "json=name,consistency", NAME]));
  return Object.fromEntries(
    found.map((each: { name: string; consistency: string }) => [each.name, each.consistency]),
  );
}

/** Counts for as long as its process lives. */
const COUNT = 'n=0; while :; do n=$((n + 1)); echo "$n" > /dev/shm/count; sleep 0.2; done';

describe("snapshots of a real guest that runs", () => {
  let folder: string;
  before(async () => {
    await guestImage();
    folder = await mkdtemp(join(tmpdir(), "strata-running-"));
    await writeFile(join(folder, "hello"), "from the host\n");
    const mount = `${folder}:/srv/host`;
    await done(["launch", "debian-micro", "--name", NAME, "--memory", "256M", "--mount", mount]);
  });
  after(async () => {
    await strata(["delete", "--purge", NAME, OTHER]);
    await rm(folder, { recursive: true });
  });

  it("are as after a power cut, or have frozen file systems, and the guest goes on", async () => {
    await inside("echo first > note && sync");
    const boot = await inside("cat /proc/sys/kernel/random/boot_id");
    await done(["snapshot", NAME, "-n", "cut"]);
    await inside("echo unwritten > note");
    await done(["snapshot", NAME, "-n", "quiet", "--quiesce"]);
    expect(await labels()).to.deep.equal({ cut: "crash", quiet: "files" });
    await inside("echo last > note && sync");
    expect(await inside("cat /proc/sys/kernel/random/boot_id")).to.equal(boot);
  });

  it("are restored while it runs, with what the guest had written in time, and it boots again", async () => {
    await inside("echo unwritten > note");
    await done(["snapshot", NAME, "-n", "frozen", "--quiesce"]);
    await inside("echo last > note && sync");
    expect(await done(["restore", "-d", `${NAME}.frozen`])).to.equal(`Snapshot restored: ${NAME}.frozen\n`);
    expect(await state()).to.equal("Running");
    expect(await inside("cat note /srv/host/hello")).to.equal("unwritten\nfrom the host");
  });

  it("with memory bring the guest back where it was, as often as wanted", async () => {
    await inside(
      `echo unwritten > note; (${COUNT}) >/dev/null 2>&1 & head -c 20000000 /dev/urandom > /dev/shm/file`,
    );
    const sum = await inside("sha256sum < /dev/shm/file");
    // The kernel makes it up when it is read for the first time.
    const boot = await inside("cat /proc/sys/kernel/random/boot_id");
    await done(["snapshot", NAME, "-n", "warm", "--memory"]);
    expect((await labels()).warm).to.equal("memory");
    expect(await inside("cat /srv/host/hello"), "mounted again").to.equal("from the host");
    for (const round of ["first", "second"]) {
      await inside("rm /dev/shm/file; echo changed > note; sync");
      await done(["restore", "-d", `${NAME}.warm`]);
      expect(await inside("sha256sum < /dev/shm/file"), round).to.equal(sum);
      expect(await inside("cat note /srv/host/hello")).to.equal("unwritten\nfrom the host");
      expect(await inside("cat /proc/sys/kernel/random/boot_id")).to.equal(boot);
      const [before, after] = (await inside("cat /dev/shm/count; sleep 1; cat /dev/shm/count")).split("\n");
      expect(Number(after), "the process goes on").to.be.greaterThan(Number(before));
      const late = Math.abs(Number(await inside("date +%s")) - Date.now() / 1000);
      expect(late, "the clock is right").to.be.lessThan(20);
    }
  });

  it("with memory leave a stopped instance suspended; without it the guest boots", async () => {
    await inside("echo unwritten > note; sync; echo kept > /dev/shm/file");
    await done(["snapshot", NAME, "-n", "asleep", "--memory"]);
    await inside("echo changed > note; sync");
    await done(["stop", "--force", NAME]);
    const { stdout, stderr } = await strata(["restore", "-d", `${NAME}.asleep`]);
    expect(stdout).to.equal(`Snapshot restored: ${NAME}.asleep\n`);
    expect(stderr).to.contain(`strata start ${NAME}`);
    expect(await state()).to.equal("Suspended");
    expect(await done(["info", NAME])).to.contain(`${NAME}.asleep`);
    await done(["start", NAME]);
    expect(await inside("test -s /dev/shm/file && echo there")).to.equal("there");
    await done(["restore", "-d", "--disk-only", `${NAME}.asleep`]);
    expect(await inside("test -e /dev/shm/file || echo gone; cat note")).to.equal("gone\nunwritten");
  });

  it("are taken, restored and deleted together with those of another, at one moment", async () => {
    await done(["stop", NAME]);
    await done(["clone", NAME, "--name", OTHER]);
    await done(["start", NAME]);
    await inside("echo together > note && sync");
    expect(await done(["snapshot", NAME, OTHER, "-n", "both"])).to.equal(
      `Snapshot taken: ${NAME}.both\nSnapshot taken: ${OTHER}.both\n`,
    );
    const found = JSON.parse(
      await done(["list", "--snapshots", "-o", "json=name,consistency,group", NAME, OTHER]),
    ).filter(({ name }: { name: string }) => name === "both");
    expect(found.map(({ consistency }: { consistency: string }) => consistency)).to.deep.equal([
      "crash",
      "stopped",
    ]);
    expect(found[0].group).to.equal(found[1].group).and.to.be.a("string");
    await inside("echo apart > note && sync");
    expect(await done(["restore", "-d", "--group", "both"])).to.equal(
      `Snapshot restored: ${NAME}.both\nSnapshot restored: ${OTHER}.both\n`,
    );
    expect(await inside("cat note")).to.equal("together");
    await done(["delete", "--purge", "--group", "both"]);
    expect(await done(["list", "--snapshots", "--names", NAME, OTHER])).not.to.contain(".both");
  });

  it("are of a stopped one with --stop, after which it runs again", async () => {
    await inside("echo in time > note");
    await done(["snapshot", NAME, "-n", "clean", "--stop"]);
    expect((await labels()).clean).to.equal("stopped");
    expect(await state()).to.equal("Running");
    expect(await inside("cat note")).to.equal("in time");
  });
}).timeout(600_000);

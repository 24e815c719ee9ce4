import { createHash } from "node:crypto";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pipeline } from "node:stream/promises";
import { expect } from "chai";
import { execa } from "execa";
import { asStrataError } from "../../../lib/errors.ts";
import { Strata } from "../../../lib/index.ts";
import { done, guestImage, PROGRAM, strata } from "../../support/program.ts";

const NAME = `strata-test-verbs-${process.pid}`;
const COPY = `${NAME}-clone1`;
const MANUAL_MAC = "52:54:00:5e:1f:01";
const MIB = 1024 * 1024;

async function inside(name: string, ...argv: string[]): Promise<string> {
  return (await done(["exec", name, "--", ...argv])).trim();
}

async function stateOf(name: string): Promise<string> {
  const { list } = JSON.parse(await done(["list", "--format", "json"]));
  return list.find((each: { name: string }) => each.name === name)?.state ?? "none";
}

/** Digests of the files of an instance by name; the lock and copies of records are not of its contents. */
async function files(name: string): Promise<Record<string, string>> {
  const { stdout } = await execa("virsh", ["dumpxml", name]);
  const folder = /folder="([^"]+)"/.exec(stdout)?.[1] ?? "";
  const found: Record<string, string> = {};
  for (const file of (await readdir(folder)).filter((each) => each !== "lock" && each !== "records")) {
    const hash = createHash("sha256");
    await pipeline(createReadStream(join(folder, file)), hash);
    found[file] = hash.digest("hex");
  }
  return found;
}

/** What makes a machine this one and no other, as it sees itself. */
async function identity(name: string): Promise<Record<string, string>> {
  const host = "sudo sha256sum /etc/dropbear/host_ed25519";
  return {
    hostname: await inside(name, "hostname"),
    machineId: await inside(name, "cat", "/etc/machine-id"),
    hostKey: await inside(name, "sh", "-c", host),
    mac: await inside(name, "cat", "/sys/class/net/eth0/address"),
    address: await inside(name, "sh", "-c", "ip -4 -o addr show eth0 | awk '{ print $4 }'"),
    uuid: (await execa("virsh", ["domuuid", name])).stdout.trim(),
  };
}

/** Another client that hears what happens. */
function listen() {
  const process_ = execa(process.execPath, [PROGRAM, "events", "--format", "json"], { reject: false });
  const lines: string[] = [];
  let wake = () => {};
  createInterface({ input: process_.stdout }).on("line", (line) => {
    const { event, instance = "", snapshot, state } = JSON.parse(line);
    lines.push([event, instance, snapshot ?? state].filter(Boolean).join(" "));
    wake();
  });
  let from = 0;
  return {
    lines,
    /** Waits for a line behind the last one that was waited for. */
    async heard(wanted: string): Promise<void> {
      while (!lines.includes(wanted, from)) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      from = lines.indexOf(wanted, from) + 1;
    },
    async end(): Promise<number | undefined> {
      process_.kill("SIGINT");
      return (await process_).exitCode;
    },
  };
}

describe("what can be done with an instance", () => {
  let listener: ReturnType<typeof listen>;
  before(async () => {
    await guestImage();
    listener = listen();
    await listener.heard("resync");
  });
  after(async () => {
    await listener.end();
    await strata(["delete", "--purge", NAME, COPY]);
    for (const name of [NAME, COPY]) {
      await strata(["delete", "--purge", name]);
    }
  });

  it("has the interfaces that it was launched with, and sets up those that are not left to the user", async () => {
    const manual = `name=default,mode=manual,mac=${MANUAL_MAC}`;
    const size = ["--memory", "300M", "--disk", "2G"];
    await done(["launch", "debian-micro", "-n", NAME, ...size, "--network", "default", "--network", manual]);
    await inside(NAME, "sh", "-c", "until ip -4 addr show eth1 | grep -q inet; do sleep 0.2; done");
    expect(await inside(NAME, "cat", "/sys/class/net/eth2/address")).to.equal(MANUAL_MAC);
    expect(await inside(NAME, "ip", "-4", "-o", "addr", "show", "eth2")).to.equal("");
  });

  it("goes on where it was when it is resumed from suspension", async () => {
    const count =
      "i=0; while :; do i=$((i+1)); echo $i > /dev/shm/next; mv /dev/shm/next /dev/shm/counter; sleep 0.1; done";
    await inside(NAME, "sh", "-c", `echo kept > /dev/shm/note; (${count}) </dev/null >/dev/null 2>&1 &`);
    const boot = await inside(NAME, "cat", "/proc/sys/kernel/random/boot_id");
    // As after an hour of suspension: the clock stands still meanwhile.
    const behind = Math.round(Date.now() / 1000) - 3600;
    await done(["exec", NAME, "--user", "root", "--", "date", "-u", "-s", `@${behind}`]);
    await done(["suspend", NAME]);
    await done(["suspend", NAME]);
    expect(await stateOf(NAME)).to.equal("Suspended");
    for (const args of [
      ["snapshot", NAME],
      ["clone", NAME],
      ["set", `local.${NAME}.cpus=2`],
      ["restart", NAME],
    ]) {
      const { code, stderr } = await strata(args);
      expect(code, args.join(" ")).to.equal(5);
      expect(stderr).to.contain(`"${NAME}" is Suspended`);
    }
    await done(["stop", NAME]);
    expect(await stateOf(NAME)).to.equal("Suspended");
    await done(["start", NAME]);
    const clock = Number(await inside(NAME, "date", "+%s"));
    expect(clock).to.be.closeTo(Date.now() / 1000, 60);
    expect(await inside(NAME, "cat", "/proc/sys/kernel/random/boot_id")).to.equal(boot);
    expect(await inside(NAME, "cat", "/dev/shm/note")).to.equal("kept");
    const counter = () => inside(NAME, "cat", "/dev/shm/counter").then(Number);
    const before = await counter();
    await inside(NAME, "sh", "-c", `while [ "$(cat /dev/shm/counter)" -le ${before} ]; do sleep 0.05; done`);
    expect(await counter()).to.be.greaterThan(before);
  });

  it("is rid of a command that is called off, also of one that takes no notice", async () => {
    await using library = await Strata.open();
    const stop = new AbortController();
    const stubborn = "trap '' TERM HUP INT; echo $$; while :; do sleep 1; done";
    const command = await library.guest.exec(NAME, ["sh", "-c", stubborn], { signal: stop.signal });
    const [pid] = await once(command.stdout, "data");
    command.stdout.resume();
    stop.abort();
    const error = await command.exit.then(() => undefined, asStrataError);
    expect(error?.code).to.equal("CANCELLED");
    await inside(NAME, "timeout", "20", "sh", "-c", `while [ -e /proc/${Number(pid)} ]; do sleep 0.1; done`);
  });

  it("warns those inside of a delayed shutdown, which can be called off", async () => {
    await using library = await Strata.open();
    const tty = { columns: 200, rows: 24, term: "dumb" };
    const terminal = await library.guest.exec(NAME, ["sh", "-c", "echo here; exec cat"], { tty });
    let seen = "";
    const warned = new Promise<void>((resolve) =>
      terminal.stdout.on("data", (chunk) => {
        seen += String(chunk);
        if (seen.includes(`strata stop --cancel ${NAME}`)) {
          resolve();
        }
      }),
    );
    await done(["stop", "--time", "10", NAME]);
    await warned;
    expect(seen).to.match(/10 minutes/);
    expect(await stateOf(NAME)).to.equal("Delayed Shutdown");
    await done(["stop", "--cancel", NAME]);
    expect(await stateOf(NAME)).to.equal("Running");
    terminal.stdin.end("\u0004");
    expect((await strata(["exec", NAME, "--", "test", "-e", "/run/shutdown.pid"])).code).to.equal(1);
  });

  it("sees the resources that it was given, and its root file system grows with the disk", async () => {
    await inside(NAME, "sh", "-c", "echo original > note; sync");
    await done(["stop", NAME]);
    await done(["snapshot", NAME, "-n", "small"]);
    await done(["set", `local.${NAME}.cpus=2`, `local.${NAME}.memory=420M`, `local.${NAME}.disk=3G`]);
    await done(["start", NAME]);
    expect(await inside(NAME, "nproc")).to.equal("2");
    const kib = Number(await inside(NAME, "awk", "/^MemTotal/ { print $2 }", "/proc/meminfo"));
    expect(kib * 1024).to.be.within(330 * MIB, 420 * MIB);
    const size = Number((await inside(NAME, "df", "-B1", "--output=size", "/")).split("\n").at(-1));
    expect(size).to.be.greaterThan(2.5 * 1024 * MIB);
    await done(["stop", NAME]);
  });

  it("is cloned: another machine with the same files, beside the original, which stays bit for bit", async () => {
    const before = await files(NAME);
    expect(await done(["clone", NAME])).to.equal(`Cloned from ${NAME} to ${COPY}.\n`);
    expect(await files(NAME)).to.deep.equal(before);
    await done(["start", NAME, COPY]);
    const [original, copy] = [await identity(NAME), await identity(COPY)];
    for (const key of Object.keys(original)) {
      expect(copy[key], key).not.to.equal(original[key]);
    }
    expect(copy.hostname).to.equal(COPY);
    expect(await inside(COPY, "cat", "note")).to.equal("original");
    expect(await inside(COPY, "nproc")).to.equal("2");
    await inside(COPY, "sh", "-c", "echo copy > note; sync");
    expect(await inside(NAME, "cat", "note")).to.equal("original");
    expect((await strata(["clone", NAME])).stderr).to.contain("Only stopped instances can be cloned");
  });

  it("shuts down by itself when its time has come, with no strata alive to tell it", async () => {
    await done(["stop", "--time", "1", COPY]);
    await listener.heard(`state ${COPY} Delayed Shutdown`);
    await listener.heard(`state ${COPY} Stopped`);
    expect(await stateOf(COPY)).to.equal("Stopped");
    await done(["start", COPY]);
    expect(await stateOf(COPY)).to.equal("Running");
  });

  it("is heard of by others, each thing once, in the order in which it happened", async () => {
    await done(["stop", "--force", NAME, COPY]);
    const steps: readonly [string[], string][] = [
      [["restore", "-d", `${NAME}.small`], `restore ${NAME} small`],
      [["delete", "--purge", `${NAME}.small`], `snapshot-delete ${NAME} small`],
      [["delete", NAME], `delete ${NAME}`],
      [["recover", NAME], `recover ${NAME}`],
      [["delete", "--purge", NAME], `purge ${NAME}`],
    ];
    // On a busy host what comes before the last was looked at would be seen as one.
    for (const [args, line] of steps) {
      await done(args);
      await listener.heard(line);
    }
    const rare = /^(create|snapshot|snapshot-delete|restore|delete|recover|purge) /;
    const heard = listener.lines.filter(
      (line) => line.includes(NAME) && !line.includes(COPY) && rare.test(line),
    );
    expect(heard).to.deep.equal([
      `create ${NAME}`,
      `snapshot ${NAME} small`,
      `restore ${NAME} small`,
      `snapshot-delete ${NAME} small`,
      `delete ${NAME}`,
      `recover ${NAME}`,
      `purge ${NAME}`,
    ]);
    expect(listener.lines).to.include(`state ${NAME} Suspended`);
    expect(await listener.end()).to.equal(0);
  });
});

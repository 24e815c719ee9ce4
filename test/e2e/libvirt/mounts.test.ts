import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { launcherScript } from "../../../plugins/libvirt/mounts/launcher.ts";
import { done, guestImage, strata } from "../../support/program.ts";

const NAME = `strata-test-mounts-${process.pid}`;
/** An id of the host that is nobody's. */
const ID = 12345;
const NOBODY = 65534;

let root: string;
const path = (...parts: string[]) => join(root, ...parts);

async function inside(...argv: string[]): Promise<string> {
  return (await done(["exec", "-n", NAME, "--", ...argv])).trim();
}

/** A folder of the host that belongs to an id. */
async function folder(name: string, id: number): Promise<string> {
  await mkdir(path(name));
  await chown(path(name), id, id);
  return path(name);
}

async function owner(file: string): Promise<readonly [number, number]> {
  const { uid, gid } = await stat(file);
  return [uid, gid];
}

/** Targets with their sources and user maps, as `info` tells. */
async function mounts(): Promise<Record<string, { source: string; uids: string[] }>> {
  const { info } = JSON.parse(await done(["info", NAME, "--format", "json"]));
  const found: Record<string, { source_path: string; uid_mappings: string[] }> = info[NAME].mounts;
  return Object.fromEntries(
    Object.entries(found).map(([target, { source_path: source, uid_mappings: uids }]) => [
      target,
      { source, uids },
    ]),
  );
}

/** Targets that the guest itself has mounted. */
async function mounted(): Promise<string[]> {
  const lines = await inside("sh", "-c", "grep ^strata- /proc/mounts || true");
  return lines
    .split("\n")
    .flatMap((line) => line.split(" ")[1] ?? [])
    .sort();
}

/** Processes of virtiofsd that see folders of the test. */
async function servers(): Promise<string[]> {
  const { stdout } = await execa("ps", ["-C", "virtiofsd", "-o", "pid="], { reject: false });
  const pids = stdout.split("\n").flatMap((line) => line.trim() || []);
  const seen = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/mountinfo`, "utf8").catch(() => "")),
  );
  return pids.filter((_, at) => seen[at]?.includes(basename(root)));
}

describe("folders of the host in a real guest", () => {
  before(async () => {
    await guestImage();
    root = await mkdtemp(join(tmpdir(), "strata-mounts-"));
    await chmod(root, 0o700);
    await folder("first", 0);
    await folder("second", ID);
    await folder("third", ID);
    await writeFile(path("first", "hello"), "from the host\n");
  });
  after(async () => {
    await strata(["delete", "--purge", NAME]);
    await rm(root, { recursive: true });
  });

  it("are there after the launch, and the caller's files are the user's", async () => {
    const source = path("first");
    await done(["launch", "debian-micro", "--name", NAME, "--memory", "400M", "--mount", source]);
    expect(await mounts()).to.deep.equal({ "/home/ubuntu/first": { source, uids: ["0:default"] } });
    expect(await inside("cat", "first/hello")).to.equal("from the host");
    await inside("sh", "-c", "echo from the guest > first/answer");
    expect(await readFile(path("first", "answer"), "utf8")).to.equal("from the guest\n");
    expect(await owner(path("first", "answer"))).to.deep.equal([0, 0]);
    expect(await inside("stat", "-c", "%u:%g", "first/answer", "first/hello")).to.equal(
      "1000:1000\n1000:1000",
    );
  });

  it("can be mounted while it runs, with ids mapped by the kernel on both sides", async () => {
    await writeFile(path("second", "theirs"), "x");
    await chown(path("second", "theirs"), ID, ID);
    await writeFile(path("second", "secret"), "of the host's root", { mode: 0o600 });
    const args = ["mount", path("second"), `${NAME}:/srv/data`, "-u", `${ID}:1000`, "-g", `${ID}:1000`];
    expect(await done(args)).to.equal("");
    expect(await inside("stat", "-c", "%u:%g", "/srv/data", "/srv/data/theirs")).to.equal(
      "1000:1000\n1000:1000",
    );
    await inside("sh", "-c", "echo mine > /srv/data/ours && rm /srv/data/theirs && mkdir /srv/data/sub");
    expect(await owner(path("second", "ours"))).to.deep.equal([ID, ID]);
    expect(await owner(path("second", "sub"))).to.deep.equal([ID, ID]);
  });

  it("give the guest's root no power over the host", async () => {
    expect((await strata(["exec", NAME, "--", "sudo", "cat", "/srv/data/secret"])).code).not.to.equal(0);
    await inside(
      "sudo",
      "sh",
      "-c",
      "cp /bin/true /srv/data/tool && chown 0:0 /srv/data/tool && chmod 4755 /srv/data/tool",
    );
    expect(await owner(path("second", "tool")), "a setuid program of nobody's").to.deep.equal([
      NOBODY,
      NOBODY,
    ]);
    const foreign = await strata(["exec", NAME, "--", "sudo", "chown", "33:33", "/srv/data/tool"]);
    expect(foreign.stderr).to.contain("Invalid argument");
    const made = await strata(["exec", NAME, "--", "sudo", "mknod", "/srv/data/disk", "b", "8", "0"]);
    expect(made.code, "a device of the host").not.to.equal(0);
    await symlink("/etc/shadow", path("second", "link"));
    expect(await inside("sudo", "cat", "/srv/data/link"), "links are the guest's own").to.equal(
      await inside("sudo", "cat", "/etc/shadow"),
    );
  });

  it("are where commands run that are called from within them", async () => {
    const from = async (cwd: string, ...options: string[]) =>
      (await strata(["exec", ...options, NAME, "--", "pwd"], { cwd })).stdout.trim();
    expect(await from(path("second"))).to.equal("/srv/data");
    expect(await from(path("second", "sub"))).to.equal("/srv/data/sub");
    expect(await from(path("second", "sub"), "-n")).to.equal("/home/ubuntu");
    expect(await from(path("second"), "-d", "/usr")).to.equal("/usr");
    expect(await from(root)).to.equal("/home/ubuntu");
  });

  it("are refused with the reason, and nothing is changed", async () => {
    const before = await mounts();
    const refusals: [number, RegExp, string[]][] = [
      [4, /already has a mount at \/srv\/data/, [path("third"), `${NAME}:/srv/x/../data/`]],
      [2, /must be a folder/, [path("first", "hello"), NAME]],
      [2, /the folder does not exist/, [path("nowhere"), NAME]],
      [2, /hide a folder that the guest needs/, [path("third"), `${NAME}:..`]],
      [2, /guest id 1000 is already mapped/, [path("third"), NAME, "-u", "1:1000", "-u", "2:1000"]],
      [3, /does not exist/, [path("third"), NAME, "mounts-nobody"]],
    ];
    for (const [code, message, args] of refusals) {
      const refused = await strata(["mount", ...args]);
      expect(refused.stderr, args.join(" ")).to.match(message);
      expect(refused.code, args.join(" ")).to.equal(code);
    }
    expect((await strata(["umount", `${NAME}:elsewhere`])).code).to.equal(3);
    const env = { XDG_CONFIG_HOME: path("config") };
    await done(["set", "local.privileged-mounts=false"], { env });
    const disabled = await strata(["mount", path("third"), NAME], { env });
    expect(disabled.stderr).to.contain("mounts are disabled on this host");
    expect(disabled.code).to.equal(8);
    expect(await mounts()).to.deep.equal(before);
  });

  it("stay while something in the guest uses them", async () => {
    await inside("sh", "-c", "cd /srv/data; sleep 600 </dev/null >/dev/null 2>&1 & echo $! > /tmp/user");
    const busy = await strata(["umount", `${NAME}:/srv/data`]);
    expect(busy.code).to.equal(6);
    expect(busy.stderr).to.contain("is in use");
    expect((await strata(["suspend", NAME])).stderr).to.contain("is in use");
    expect(await mounted()).to.deep.equal(["/home/ubuntu/first", "/srv/data"]);
    await inside("sh", "-c", "kill $(cat /tmp/user)");
  });

  it("are back after the instance was suspended, its memory kept", async () => {
    await inside("sh", "-c", "sudo sh -c 'echo remembered > /run/memory'");
    await done(["suspend", NAME]);
    expect((await execa("virsh", ["domstate", NAME])).stdout.trim()).to.equal("shut off");
    await done(["start", NAME]);
    expect(await inside("cat", "/run/memory")).to.equal("remembered");
    expect(await mounted()).to.deep.equal(["/home/ubuntu/first", "/srv/data"]);
    expect(await inside("cat", "/srv/data/ours")).to.equal("mine");
  });

  it("come back as a snapshot recorded them: some added, some removed, some changed", async () => {
    await done(["stop", NAME]);
    await done(["snapshot", NAME, "-n", "two"]);
    const recorded = await mounts();
    await done(["umount", NAME]);
    await done(["mount", path("third"), `${NAME}:/srv/data`]);
    await done(["mount", path("first"), `${NAME}:/srv/new`]);
    await done(["snapshot", NAME, "-n", "others"]);
    const others = await mounts();
    expect(others).to.deep.equal({
      "/srv/data": { source: path("third"), uids: ["0:default"] },
      "/srv/new": { source: path("first"), uids: ["0:default"] },
    });
    await done(["restore", "-d", `${NAME}.two`]);
    expect(await mounts()).to.deep.equal(recorded);
    const { info } = JSON.parse(await done(["info", "--snapshots", NAME, "--format", "json"]));
    expect(info[NAME].snapshots.others.mounts).to.deep.equal({
      "/srv/data": { source_path: path("third") },
      "/srv/new": { source_path: path("first") },
    });
    await done(["start", NAME]);
    expect(await mounted()).to.deep.equal(["/home/ubuntu/first", "/srv/data"]);
    await inside("sh", "-c", "echo again > /srv/data/ours");
    expect(await owner(path("second", "ours"))).to.deep.equal([ID, ID]);
  });

  it("serve the folder that they were given, whatever takes its place", async () => {
    await rename(path("second"), path("moved"));
    await mkdir(path("secret"));
    await writeFile(path("secret", "ours"), "a secret");
    await symlink(path("secret"), path("second"));
    expect(await inside("cat", "/srv/data/ours")).to.equal("again");
    await done(["stop", NAME]);
    const started = await strata(["start", NAME]);
    expect(started.code).to.equal(0);
    expect(started.stderr).to.contain(`${path("second")} is not mounted at /srv/data now: it is now a link`);
    expect(await mounted()).to.deep.equal(["/home/ubuntu/first"]);
    expect(await inside("ls", "/srv/data")).to.equal("");
  });

  it("are kept while their source has gone, and come back with it into the running guest", async () => {
    expect(Object.keys(await mounts())).to.deep.equal(["/home/ubuntu/first", "/srv/data"]);
    await rm(path("second"));
    expect((await strata(["start", NAME])).stderr).to.contain("the folder does not exist");
    await rename(path("moved"), path("second"));
    expect((await strata(["start", NAME])).stderr).to.equal("");
    expect(await inside("cat", "/srv/data/ours")).to.equal("again");
  });

  it("go at once, and leave nothing behind", async () => {
    expect((await servers()).length).to.be.greaterThan(0);
    await done(["umount", `${NAME}:/srv/data`]);
    expect(await mounted()).to.deep.equal(["/home/ubuntu/first"]);
    await done(["umount", NAME]);
    expect(await mounts()).to.deep.equal({});
    expect(await servers()).to.deep.equal([]);
    const uuid = (await execa("virsh", ["domuuid", NAME])).stdout.trim();
    const left = await execa("find", [
      `/var/lib/libvirt/images/strata/instances/${uuid}`,
      "-name",
      "virtiofsd-*",
    ]);
    expect(left.stdout).to.equal("");
  });

  it("are restored and warned about when their source has gone since", async () => {
    await done(["stop", "--force", NAME]);
    await rename(path("second"), path("moved"));
    const restored = await strata(["restore", "-d", `${NAME}.two`]);
    expect(restored.stdout).to.equal(`Snapshot restored: ${NAME}.two\n`);
    expect(restored.stderr).to.contain(
      `${path("second")} is not mounted at /srv/data now: the folder does not exist`,
    );
    expect(Object.keys(await mounts())).to.deep.equal(["/home/ubuntu/first", "/srv/data"]);
  });
});

describe("the launcher of virtiofsd", () => {
  let place: string;
  before(async () => {
    place = await mkdtemp(join(tmpdir(), "strata-launcher-"));
  });
  after(() => rm(place, { recursive: true }));

  /** What a program sees that is launched in the place of virtiofsd. */
  async function launched(source: string, program: string) {
    const tool = join(place, "tool");
    await writeFile(tool, `#!/bin/sh\n${program}\n`, { mode: 0o755 });
    await chmod(place, 0o755);
    const script = launcherScript({ source, uidMap: [{ host: ID, guest: 1000 }], gidMap: [] }, tool);
    return execa("sh", ["-c", script, "sh", "--fd=5", "-o", `source=${source},x`], { reject: false });
  }

  it("hands on what libvirt says, with the source at a place of its own", async () => {
    const source = join(place, "a folder, 'quoted'");
    await mkdir(source, { mode: 0o755 });
    await writeFile(join(source, "file"), "");
    const { stdout } = await launched(source, 'echo "$@"; id -u; ls /mnt; cat /proc/self/uid_map');
    const [args, uid, files, ...map] = stdout.split("\n");
    expect(args).to.equal("--fd=5 -o source=/mnt");
    expect([uid, files]).to.deep.equal(["0", "file"]);
    expect(map.map((line) => line.trim().split(/ +/))).to.deep.equal([
      ["0", String(NOBODY), "1"],
      ["1000", String(ID), "1"],
    ]);
  });

  it("starts nothing when the source has become a link, wherever on the way", async () => {
    await mkdir(join(place, "real", "below"), { recursive: true });
    await symlink(join(place, "real"), join(place, "swapped"));
    for (const source of [join(place, "swapped"), join(place, "swapped", "below")]) {
      const { exitCode, stdout, stderr } = await launched(source, "echo started");
      expect(exitCode, source).to.equal(1);
      expect(stdout).to.equal("");
      expect(stderr).to.contain("another folder has taken the place");
    }
  });
});

import { expect } from "chai";
import { execa } from "execa";
import { done, guestImage, strata } from "../../support/program.ts";

const NAME = `strata-test-story-${process.pid}`;
const MIB = 1024 * 1024;

async function inside(...argv: string[]): Promise<string> {
  return (await done(["exec", NAME, "--", ...argv])).trim();
}

/** CPUs and memory as the guest itself sees them; the kernel keeps some memory to itself. */
async function resources(): Promise<{ cpus: number; memory: number }> {
  const kib = Number(await inside("awk", "/^MemTotal/ { print $2 }", "/proc/meminfo"));
  return { cpus: Number(await inside("nproc")), memory: kib * 1024 };
}

async function ourTree(): Promise<Record<string, string>> {
  const { info } = JSON.parse(await done(["list", "--snapshots", "--format", "json"]));
  const snapshots: Record<string, { parent: string }> = info[NAME] ?? {};
  return Object.fromEntries(Object.entries(snapshots).map(([name, { parent }]) => [name, parent]));
}

/** Reads what `virsh snapshot-list --tree` draws: two columns of indentation a level. */
async function virshTree(): Promise<Record<string, string>> {
  const { stdout } = await execa("virsh", ["snapshot-list", "--tree", NAME]);
  const tree: Record<string, string> = {};
  const path: string[] = [];
  for (const line of stdout.split("\n")) {
    const found = /^((?: {2}[| ] )*(?: {2}\+- )?)([A-Za-z][\w-]*)$/.exec(line);
    if (found === null) {
      continue;
    }
    const depth = line.indexOf("+-") === -1 ? 0 : (line.indexOf("+-") - 2) / 4 + 1;
    const name = found[2] ?? "";
    path.splice(depth, path.length, name);
    tree[name] = path[depth - 1] ?? "";
  }
  return tree;
}

async function sameTrees(expected: Record<string, string>): Promise<void> {
  expect(await ourTree()).to.deep.equal(expected);
  expect(await virshTree()).to.deep.equal(expected);
}

describe("a real guest under libvirt", () => {
  before(async () => {
    await guestImage();
  });
  after(async () => {
    await strata(["delete", "--purge", NAME]);
  });

  it("is launched with the resources asked for and answers", async () => {
    const out = await done([
      "launch",
      "debian-micro",
      "--name",
      NAME,
      "--cpus",
      "1",
      "--memory",
      "400M",
      "--disk",
      "3G",
    ]);
    expect(out).to.equal(`Launched: ${NAME}\n`);
    expect(await inside("hostname")).to.equal(NAME);
    expect(await inside("id", "-un")).to.equal("ubuntu");
    const { cpus, memory } = await resources();
    expect(cpus).to.equal(1);
    expect(memory).to.be.within(300 * MIB, 400 * MIB);
    const size = Number((await inside("df", "-B1", "--output=size", "/")).split("\n").at(-1));
    expect(size, "the root grew with the disk").to.be.greaterThan(2.5 * 1024 * MIB);
  });

  it("streams what goes in and out of a command, and hands on its exit status", async () => {
    const text = `${"line of text\n".repeat(20_000)}end\n`;
    const { stdout, code } = await strata(["exec", NAME, "--", "tee", "copy"], { input: text });
    expect(code).to.equal(0);
    expect(stdout).to.equal(text);
    expect((await strata(["exec", NAME, "--", "sh", "-c", "echo oops >&2; exit 42"])).code).to.equal(42);
    expect(await inside("printf", "%s|", "a b", "c'd", "$HOME", "*", "")).to.equal("a b|c'd|$HOME|*||");
    expect(await done(["exec", NAME, "-d", "/usr/lib", "--", "pwd"])).to.equal("/usr/lib\n");
  });

  it("is listed and described with what the guest tells", async () => {
    const { info } = JSON.parse(await done(["info", NAME, "--format", "json"]));
    expect(info[NAME]).to.include({
      state: "Running",
      release: "Debian GNU/Linux 12 (bookworm)",
      cpu_count: "1",
      snapshot_count: "0",
    });
    expect(info[NAME].ipv4).to.have.length(1);
    expect(info[NAME].load).to.have.length(3);
    expect(info[NAME].memory.used).to.be.within(1, info[NAME].memory.total);
    const { list } = JSON.parse(await done(["list", "--format", "json"]));
    expect(list.find((each: { name: string }) => each.name === NAME)).to.include({
      state: "Running",
      release: "Debian 12",
    });
  });

  it("is not resized while it runs, and is unchanged by the attempt", async () => {
    const { code, stderr } = await strata(["set", `local.${NAME}.cpus=2`]);
    expect(code).to.equal(5);
    expect(stderr).to.contain("Only stopped instances can be resized");
    await sameTrees({});
  });

  it("comes back to a snapshot with disk, CPUs and memory, and branches there", async () => {
    await inside("sh", "-c", "echo first > note && sync");
    await done(["stop", NAME]);
    await done(["stop", NAME]);
    expect(await done(["snapshot", NAME, "-n", "clean", "-m", "as launched"])).to.equal(
      `Snapshot taken: ${NAME}.clean\n`,
    );
    await done(["set", `local.${NAME}.cpus=2`, `local.${NAME}.memory=700M`, `local.${NAME}.disk=4G`]);
    await done(["start", NAME]);
    expect(await inside("cat", "note")).to.equal("first");
    await inside("sh", "-c", "echo second > note && sync");
    expect((await resources()).cpus).to.equal(2);
    expect((await resources()).memory).to.be.within(600 * MIB, 700 * MIB);
    await done(["stop", NAME]);
    await done(["snapshot", NAME, "-n", "changed"]);
    expect(await done(["snapshot", NAME])).to.equal(`Snapshot taken: ${NAME}.snapshot3\n`);
    expect(await done(["restore", "-d", `${NAME}.clean`])).to.equal(`Snapshot restored: ${NAME}.clean\n`);
    await done(["start", NAME]);
    expect(await inside("cat", "note")).to.equal("first");
    const restored = await resources();
    expect(restored.cpus).to.equal(1);
    expect(restored.memory).to.be.within(300 * MIB, 400 * MIB);
    expect(await inside("sh", "-c", "cat /sys/block/vda/size"), "sectors of the disk").to.equal(
      String((3 * 1024 * MIB) / 512),
    );
    await inside("sh", "-c", "echo third > note && sync");
    await done(["stop", NAME]);
    await done(["snapshot", NAME, "-n", "branch"]);
    await sameTrees({ clean: "", changed: "clean", snapshot3: "changed", branch: "clean" });
  });

  it("keeps the contents of all other snapshots when some are deleted, also while it runs", async () => {
    await done(["delete", "--purge", `${NAME}.changed`]);
    await sameTrees({ clean: "", snapshot3: "clean", branch: "clean" });
    await done(["start", NAME]);
    await done(["delete", "--purge", `${NAME}.clean`]);
    await done(["delete", "--purge", `${NAME}.branch`]);
    await sameTrees({ snapshot3: "" });
    expect(await inside("cat", "note")).to.equal("third");
    await done(["stop", NAME]);
    await done(["snapshot", NAME, "-n", "mine"]);
    await sameTrees({ snapshot3: "", mine: "" });
    await done(["restore", "-d", `${NAME}.snapshot3`]);
    await done(["start", NAME]);
    expect(await inside("cat", "note")).to.equal("second");
    expect((await resources()).cpus).to.equal(2);
    await done(["stop", NAME]);
  });

  it("can be started by virsh after all that", async () => {
    await execa("virsh", ["start", NAME]);
    expect((await execa("virsh", ["domstate", NAME])).stdout.trim()).to.equal("running");
    await execa("virsh", ["destroy", NAME]);
    await done(["restore", "-d", `${NAME}.mine`]);
  });

  it("is deleted, recovered, and purged without a trace", async () => {
    await done(["delete", NAME]);
    expect((await strata(["start", NAME])).stderr).to.contain(`instance "${NAME}" is deleted`);
    await done(["recover", NAME]);
    await sameTrees({ snapshot3: "", mine: "" });
    const uuid = (await execa("virsh", ["domuuid", NAME])).stdout.trim();
    await done(["delete", NAME]);
    expect(await done(["purge"])).to.contain(`Purged: ${NAME}\n`);
    expect((await execa("virsh", ["dominfo", NAME], { reject: false })).exitCode).not.to.equal(0);
    const left = await execa("find", ["/var/lib/libvirt/images/strata", "-path", `*${uuid}*`]);
    expect(left.stdout).to.equal("");
  });
});

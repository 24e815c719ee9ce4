import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { strata } from "../../support/program.ts";

/** An image that nobody could fetch: what is refused for another reason is refused before that. */
const NOWHERE = `http://127.0.0.1:1/x#sha256=${"ab".repeat(32)}`;
/** A domain that is none of strata's. */
const FOREIGN = `strata-test-foreign-${process.pid}`;

describe("bad input at the terminal", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "strata-bad-"));
    await writeFile(join(folder, "text"), "no image at all\n");
    await writeFile(join(folder, "empty"), "");
    await writeFile(join(folder, "bad.yaml"), "#cloud-config\nusers: [unclosed\n");
    await execa("qemu-img", ["create", "-q", "-f", "qcow2", join(folder, "base"), "2M"]);
    const overlay = [
      "create",
      "-q",
      "-f",
      "qcow2",
      "-b",
      join(folder, "base"),
      "-F",
      "qcow2",
      join(folder, "overlay"),
    ];
    await execa("qemu-img", overlay);
    await execa("dd", [
      "if=/dev/urandom",
      `of=${join(folder, "base")}`,
      "bs=1",
      "seek=65536",
      "count=400000",
      "conv=notrunc",
    ]);
  });
  before(async () => {
    const document = join(folder, "foreign.xml");
    await writeFile(
      document,
      `<domain type='qemu'><name>${FOREIGN}</name><memory>1024</memory><os><type>hvm</type></os></domain>`,
    );
    await execa("virsh", ["define", document]);
  });
  after(() => execa("virsh", ["undefine", FOREIGN]));
  after(() => rm(folder, { recursive: true, force: true }));

  const cases: readonly (readonly [args: string, code: number, message: RegExp])[] = [
    ["info nobody", 3, /instance "nobody" does not exist/],
    ["start nobody", 3, /instance "nobody" does not exist/],
    ["snapshot nobody", 3, /instance "nobody" does not exist/],
    ["restore -d nobody.snap", 3, /instance "nobody" does not exist/],
    ["restore nobody.snap", 3, /instance "nobody" does not exist/],
    ["restore -d nobody", 2, /does not name a snapshot/],
    ["delete nobody.snap", 3, /instance "nobody" does not exist/],
    ["delete", 2, /--all/],
    ["snapshot bad!name", 2, /invalid instance name "bad!name"/],
    ["launch debian-micro -n 1x", 2, /invalid instance name "1x"/],
    ["launch debian-micro -n x -m 1.5", 2, /invalid memory size "1.5"/],
    ["launch debian-micro -n x -m 64M", 2, /memory size 64M is below the minimum of 128M/],
    ["launch debian-micro -n x -d 100M", 2, /disk size 100M is below the minimum of 512M/],
    ["launch debian-micro -n x -d 600M", 2, /the image's own size/],
    ["launch debian-micro -n x -c 0", 2, /cpus/],
    ["launch debian-micro -n x -c 1024", 2, /cpus: must be a whole number from 1 to \d+,/],
    [
      `launch debian-micro -n x -c ${4 * cpus().length + 1}`,
      2,
      /, 4 for each of the host's \d+; the setting local.libvirt.cpu-overcommit allows more/,
    ],
    ["launch debian-micro -n x -m 999999G", 2, /memory: must be at most \d+M, all that the host has/],
    [`launch ${NOWHERE} -n x -m 999999G`, 2, /memory: must be at most \d+M, all that the host has/],
    [`launch ${NOWHERE} -n x -c 1024`, 2, /cpus: must be a whole number from 1 to \d+,/],
    [`launch ${NOWHERE} -n x --network none`, 2, /network/],
    [`launch ${NOWHERE} -n x --mount FOLDER:/etc`, 2, /the target/],
    [`launch ${NOWHERE} -n x --mount FOLDER --mount FOLDER`, 2, /two folders cannot be mounted/],
    [`launch ${NOWHERE} -n ${FOREIGN}`, 4, new RegExp(`instance "${FOREIGN}" already exists`)],
    ["launch debian-micro -n x --cloud-init FOLDER/bad.yaml", 2, /cloud-init data/],
    ["launch debian-micro -n x --cloud-init FOLDER/none.yaml", 3, /does not exist/],
    ["launch nowhere:it -n x", 3, /image remote "nowhere" does not exist/],
    ["launch file://FOLDER/none -n x", 3, /does not exist or cannot be read/],
    ["launch file://FOLDER/text -n x", 12, /cannot be read/],
    ["launch file://FOLDER/empty -n x", 12, /cannot be read/],
    ["launch file://FOLDER -n x", 12, /not a file/],
    ["launch file://FOLDER/overlay -n x", 12, /refers to another file/],
    ["launch file://FOLDER/base -n x", 12, /cannot be read/],
    ["launch file://FOLDER/text#sha256=zz -n x", 2, /checksum/],
    ["launch ftp://127.0.0.1/x -n x", 2, /must begin with file/],
    ["launch http://127.0.0.1:1/x -n x", 2, /no checksum/],
    ["set local.nobody.cpus=2", 3, /instance "nobody" does not exist/],
    ["set some.key=2", 2, /Unrecognized settings key: 'some.key'/],
    ["get local.libvirt.nothing", 2, /Unrecognized settings key/],
    ["list --format xml", 2, /Allowed choices/],
    ["lanch", 2, /Did you mean launch/],
  ];
  for (const [line, code, message] of cases) {
    it(`${line}: exit ${code}`, async () => {
      const args = line.replaceAll("FOLDER", folder).split(" ");
      const env = { XDG_CACHE_HOME: process.env.XDG_CACHE_HOME ?? `${process.env.HOME}/.cache` };
      const ended = await strata(args, { env });
      expect(ended.stderr).to.match(message);
      expect(ended.code).to.equal(code);
      expect(ended.stdout).to.equal("");
    });
  }

  it("leaves no domain behind, of all that was refused", async () => {
    expect((await execa("virsh", ["list", "--all", "--name"])).stdout.trim().split("\n")).not.to.include("x");
  });

  it("says so when there is no libvirtd, and when it may not be used", async () => {
    await chmod(folder, 0o777);
    const env = { STRATA_LIBVIRT_URI: `qemu+unix:///system?socket=${folder}/none` };
    const absent = await strata(["list"], { env });
    expect(absent.code).to.equal(7);
    expect(absent.stderr).to.match(/cannot be reached.*\n.*strata doctor/);
    const program = [
      "--reuid=65534",
      "--regid=65534",
      "--clear-groups",
      process.execPath,
      "dist/bin/strata.js",
      "list",
    ];
    const denied = await execa("setpriv", program, {
      reject: false,
      env: {
        STRATA_LIBVIRT_URI: "qemu:///system",
        HOME: folder,
        XDG_STATE_HOME: folder,
        XDG_CONFIG_HOME: folder,
      },
    });
    expect(denied.stderr).to.contain("permission denied");
    expect(denied.exitCode).to.equal(8);
  });

  it("is none where a setting says that more than the host has is meant", async () => {
    const memory = Math.round((totalmem() * 1.5) / 1024 ** 2);
    const args = ["launch", NOWHERE, "-n", "x", "-c", String(4 * cpus().length + 1), "-m", `${memory}M`];
    const env = { STRATA_LIBVIRT_CPU_OVERCOMMIT: "8", STRATA_LIBVIRT_MEMORY_OVERCOMMIT: "2" };
    // Nothing is left to be refused before the image is fetched.
    expect((await strata(args, { env })).stderr).to.match(/download of/);
  });
});

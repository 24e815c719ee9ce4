import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { connect, type Domain, DomainXmlFlags } from "../../../plugins/libvirt/rpc/index.ts";
import { exists } from "../../../plugins/libvirt/storage/pool.ts";
import { ownFolder } from "../../support/leftovers.ts";
import { done, strata } from "../../support/program.ts";

const NAME = `strata-test-cdrom-${process.pid}`;
const BOOT = ["biosdisk", "iso9660", "serial", "terminal", "echo", "sleep"];

/** An ISO that says on the serial line that it has booted, as an installer would on its screen. */
async function makeInstaller(folder: string, iso: string): Promise<void> {
  const tree = join(folder, "tree");
  const script = join(folder, "grub.cfg");
  await mkdir(tree, { recursive: true });
  await writeFile(script, "serial\nterminal_output serial\necho the installer is here\nsleep 600\n");
  const target = ["-O", "i386-pc-eltorito", "-p", "/", "-c", script, "-o", join(tree, "boot.img")];
  await execa("grub-mkimage", [...target, ...BOOT]);
  const eltorito = ["-b", "boot.img", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"];
  await execa("genisoimage", ["-quiet", "-o", iso, ...eltorito, tree]);
}

describe("an instance that is installed from a CD-ROM", () => {
  let folder: string;
  let iso: string;
  before(async () => {
    folder = await ownFolder("test");
    iso = join(folder, "an installer.iso");
    await makeInstaller(folder, iso);
  });
  beforeEach(() => done(["launch", "--cdrom", iso, "--disk", "1G", "--memory", "256M", "--name", NAME]));
  afterEach(async () => {
    await strata(["delete", "--purge", NAME, `${NAME}-copy`]);
    await strata(["delete", "--purge", NAME]);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  async function withDomain<T>(name: string, work: (domain: Domain) => Promise<T>): Promise<T> {
    await using connection = await connect("qemu:///system");
    // Awaited here: the connection is closed when this function ends.
    return await work(await connection.lookupDomainByName(name));
  }
  const xmlOf = (name: string) => withDomain(name, (domain) => domain.getXml(DomainXmlFlags.INACTIVE));
  const cdromOf = async (name: string) => /<source file='([^']*\/cdrom\.iso)'/.exec(await xmlOf(name))?.[1];

  it("boots it from the moment of the launch, without waiting for a guest, and has a screen", async () => {
    const said = await withDomain(NAME, async (domain) => {
      const console = await domain.openConsole();
      console.setEncoding("utf8");
      let text = "";
      for await (const piece of console) {
        text += piece;
        if (text.includes("the installer is here")) {
          break;
        }
      }
      return text;
    });
    expect(said).to.contain("the installer is here");
    expect(await xmlOf(NAME)).to.match(/<graphics type='vnc'>\s*<listen type='socket'\/>/);
    const { info } = JSON.parse(await done(["info", NAME, "--format", "json"]));
    expect(info[NAME].state).to.equal("Running");
  });

  it("has a copy of its own, that goes with it", async () => {
    const copy = (await cdromOf(NAME)) ?? "";
    expect((await readFile(copy)).equals(await readFile(iso))).to.equal(true);
    expect((await stat(copy)).mode & 0o777).to.equal(0o600);
    await done(["delete", "--purge", NAME]);
    expect(await exists(copy)).to.equal(false);
    expect(await exists(iso)).to.equal(true);
  });

  it("keeps it through snapshots and restores; a copy of the instance has an empty drive", async () => {
    await done(["stop", "--force", NAME]);
    await done(["snapshot", NAME, "--name", "one"]);
    await done(["restore", "--destructive", `${NAME}.one`]);
    expect(await exists((await cdromOf(NAME)) ?? "")).to.equal(true);
    const doctor = JSON.parse((await strata(["doctor", "--format", "json"])).stdout);
    expect(doctor.findings.filter(({ instance }: { instance: string }) => instance === NAME)).to.deep.equal(
      [],
    );
    await done(["clone", NAME, "--name", `${NAME}-copy`]);
    expect(await xmlOf(`${NAME}-copy`))
      .to.match(/device='cdrom'/)
      .and.not.contain("cdrom.iso");
    await done(["start", `${NAME}-copy`]);
  });

  it("is refused for what is no ISO, or a disk without one", async () => {
    await writeFile(join(folder, "note.iso"), "no disk");
    for (const [args, says] of [
      [["--cdrom", join(folder, "note.iso")], "must be an ISO 9660 image"],
      [["--cdrom", join(folder, "none.iso")], "does not exist"],
      [["--cdrom", "https://host.example/a.iso"], "must be a file on this host"],
      [["blank"], "needs a CD-ROM"],
    ] as const) {
      const { code, stderr } = await strata(["launch", ...args, "--name", `${NAME}-none`]);
      expect(code).not.to.equal(0);
      expect(stderr).to.contain(says);
    }
    expect((await strata(["info", `${NAME}-none`])).code).to.equal(3);
  });
});

import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { type CliRoom, cliRoom } from "../../support/cli.ts";
import { fromFiles, type ImageServer, imageServer } from "../../support/images/image-server.ts";

const BROKEN = "#cloud-config\nruncmd: [\n";

describe("user-data for cloud-init", () => {
  let at: CliRoom;
  let server: ImageServer;
  before(async () => {
    at = await cliRoom();
    server = await imageServer(
      fromFiles({
        "/good.yaml": "#cloud-config\nhostname: web\n",
        "/broken.yaml": BROKEN,
        "/long.yaml": `#cloud-config\n# ${"x".repeat(1024 * 1024)}\n`,
        "/latin": Buffer.from([0x23, 0x21, 0xff, 0xfe]),
      }),
    );
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await at[Symbol.asyncDispose]();
  });

  const launch = (from: string) => at.strata("launch", "x", "--cloud-init", from);

  it("comes from a URL, a file and standard input", async () => {
    const path = join(at.folder, "good.yaml");
    await writeFile(path, "#!/bin/sh\ntrue\n");
    at.input = "Content-Type: text/cloud-config\n\n#cloud-config\n{}\n";
    for (const from of [server.url("/good.yaml"), path, "-"]) {
      expect((await launch(from)).stdout, from).to.match(/^Launched: /);
    }
  });

  it("is refused with its error, from wherever it comes, before an image is looked for", async () => {
    const path = join(at.folder, "broken.yaml");
    await writeFile(path, BROKEN);
    at.input = BROKEN;
    for (const from of [server.url("/broken.yaml"), path, "-"]) {
      const { code, stderr } = await at.strata(
        "--driver",
        "libvirt",
        "launch",
        "nosuch",
        "--cloud-init",
        from,
      );
      expect(code, from).to.equal(2);
      expect(stderr).to.match(/invalid value "#cloud-config" for the cloud-init data: .* at line \d/);
    }
  });

  /** The files of test/fixtures/user-data: what is said of each, where something is. */
  const wild: Readonly<Record<string, RegExp | undefined>> = {
    archive: undefined,
    "bom.yaml": undefined,
    boothook: undefined,
    "comment-first.yaml": /warning: .*cloud-init ignores it/,
    "crlf-script": /warning: .*carriage return/,
    "crlf.yaml": undefined,
    "dup.yaml": undefined,
    empty: undefined,
    "gz.yaml.gz": undefined,
    "hostname.yaml": undefined,
    include: undefined,
    "jinja.yaml": undefined,
    "latin1.yaml": /must be text in UTF-8/,
    "leadnl.yaml": undefined,
    "network-in-ud.yaml": undefined,
    "no-header.yaml": /must begin with a line that says its kind/,
    "only-header.yaml": undefined,
    "own-keys.yaml": undefined,
    "power.yaml": /warning: .*turns the guest off/,
    "pw-expire.yaml": /warning: .*`password` expires/,
    "sshkeys.yaml": undefined,
    "sysinfo.yaml": /warning: .*makes admin the default user/,
    "tab.yaml": /invalid value "#cloud-config"/,
    "trailing-comment.yaml": undefined,
    "user.yaml": /warning: .*makes admin the default user/,
    "users-no-default.yaml": /warning: .*does not contain `default`/,
    "utf16.yaml": /must be text in UTF-8/,
    "wf.yaml": undefined,
    "yaml11.yaml": undefined,
  };

  it("from the wild is taken as cloud-init takes it, with a warning where that surprises", async () => {
    const folder = new URL("../../fixtures/user-data/", import.meta.url);
    expect((await readdir(folder)).sort()).to.deep.equal(Object.keys(wild).sort());
    for (const [file, says] of Object.entries(wild)) {
      const { code, stderr } = await launch(fileURLToPath(new URL(file, folder)));
      const refused = says !== undefined && !says.source.startsWith("warning");
      expect(stderr, file).to.match(says ?? /^$/);
      expect(code, file).to.equal(refused ? 2 : 0);
    }
  });

  it("is refused when it is too long, no text, or not there", async () => {
    const path = join(at.folder, "long");
    await writeFile(path, `#!/bin/sh\n#${"x".repeat(1024 * 1024)}`);
    at.input = "é".repeat(600_000);
    expect((await launch(path)).stderr).to.match(/must be at most 1048576 bytes/);
    expect((await launch("-")).stderr).to.match(/must be at most 1048576 bytes/);
    expect((await launch(server.url("/long.yaml"))).stderr).to.match(/at most 1048576 bytes/);
    expect((await launch(server.url("/latin"))).stderr).to.match(/must be text in UTF-8/);
    expect((await launch(server.url("/nosuch"))).stderr).to.match(/the server answered 404 Not Found/);
    expect((await launch(join(at.folder, "nosuch"))).code).to.equal(3);
    expect((await launch(at.folder)).code).to.equal(3);
    expect((await launch("http://")).code).to.equal(2);
  });
});

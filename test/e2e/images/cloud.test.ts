import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import {
  catalogueFiles,
  fromFiles,
  type ImageServer,
  imageServer,
} from "../../support/images/image-server.ts";
import { done, guestImage, strata } from "../../support/program.ts";

const NAME = `strata-test-cloud-${process.pid}`;
const USER_DATA = `#cloud-config
hostname: renamed
users:
  - default
  - name: mary
    groups: [sudo]
    shell: /bin/sh
write_files:
  - {path: /etc/written, content: "by cloud-init", permissions: "0640"}
runcmd:
  - [sh, -c, "echo ran > /var/tmp/ran"]
  - cat /etc/written > /var/tmp/copy
`;

/**
 * The one boot of a guest with systemd and cloud-init. Its image comes from a catalogue, so that this boot
 * shows that too; the image's own default user is "ubuntu", the remote says another.
 */
describe("a guest with real cloud-init, from a catalogue", () => {
  let folder: string;
  let server: ImageServer;
  let image: { sha256: string; path: string };
  const env = () => ({ XDG_CACHE_HOME: join(folder, "cache"), XDG_CONFIG_HOME: join(folder, "config") });

  before(async () => {
    image = await guestImage("cloud");
    folder = await mkdtemp(join(tmpdir(), "strata-cloud-"));
    const { size } = await stat(image.path);
    const disk = { path: "bookworm.img", size, sha256: image.sha256 };
    const files = catalogueFiles([
      {
        os: "debian",
        release: "bookworm",
        title: "12",
        version: "12",
        aliases: "12,bookworm",
        versions: { "20261124": disk },
      },
    ]);
    server = await imageServer((n, request, response) => {
      if (request.url !== "/bookworm.img") {
        return fromFiles({ ...files, "/user-data": USER_DATA })(n, request, response);
      }
      response.writeHead(200, { "content-length": size });
      createReadStream(image.path).pipe(response);
    });
    await mkdir(join(folder, "config", "strata"), { recursive: true });
    const remotes = { lab: { url: server.url("/"), username: "carla" } };
    await writeFile(join(folder, "config", "strata", "remotes.json"), JSON.stringify(remotes));
  });
  after(async () => {
    await strata(["delete", "--purge", NAME]);
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const inside = async (...argv: string[]) => (await done(["exec", NAME, "--", ...argv])).trim();

  it("is found, downloaded, launched, and waited for until cloud-init is done", async () => {
    const { images } = JSON.parse(await done(["find", "lab:", "--format", "json"], { env: env() }));
    expect(images).to.deep.equal({
      "lab:12": { aliases: ["bookworm"], os: "Debian", release: "12", remote: "lab", version: "20261124" },
    });
    const launch = ["launch", "lab:bookworm", "--name", NAME, "--timeout", "840"];
    const out = await done([...launch, "--cloud-init", server.url("/user-data")], { env: env() });
    expect(out).to.equal(`Launched: ${NAME}\n`);
    expect(server.seen.filter(({ path }) => path === "/bookworm.img")).to.have.length(1);
    expect(JSON.parse(await inside("cat", "/run/cloud-init/result.json")).v1.errors).to.deep.equal([]);
  });

  it("has the user's host name, users, files and commands", async () => {
    expect(await inside("hostname")).to.equal("renamed");
    expect(await inside("id", "-nG", "mary")).to.equal("mary sudo");
    expect(await inside("sudo", "stat", "-c", "%a", "/etc/written")).to.equal("640");
    expect(await inside("cat", "/var/tmp/ran", "/var/tmp/copy")).to.equal("ran\nby cloud-init");
  });

  it("has the default user of its remote, who may do all, a root that grew, and its own identity", async () => {
    expect(await inside("id", "-un")).to.equal("carla");
    expect(await inside("sudo", "id", "-un")).to.equal("root");
    const size = Number((await inside("df", "-B1", "--output=size", "/")).split("\n").at(-1));
    expect(size).to.be.greaterThan(4.5 * 1024 ** 3);
    expect(await inside("cat", "/etc/machine-id")).to.match(/^[0-9a-f]{32}$/);
    expect(await inside("systemctl", "--failed", "--no-legend")).to.equal("");
  });
});

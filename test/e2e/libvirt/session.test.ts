import { once } from "node:events";
import { chmod, chown, readFile, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import { type OrdinaryUser, ordinaryUser } from "../../support/ordinary-user.ts";
import { guestImage } from "../../support/program.ts";

const NAME = "mine";

/** Everything that an ordinary user does, with a libvirtd and a guest of their own. */
describe("session mode, as an ordinary user", () => {
  let user: OrdinaryUser;
  const inside = async (...argv: string[]) => (await user.done("exec", NAME, "--", ...argv)).trim();
  before(async () => {
    const { path } = await guestImage();
    user = await ordinaryUser();
    await user.bring(path, "guest.qcow2");
  });
  after(() => user[Symbol.asyncDispose]());

  it("launches a guest on a network of its own, with the user's own libvirtd", async () => {
    const image = `file://${join(user.home, "guest.qcow2")}`;
    expect(await user.done("launch", image, "-n", NAME, "-m", "400M")).to.equal(`Launched: ${NAME}\n`);
    expect(await inside("hostname")).to.equal(NAME);
    expect(await user.done("get", "local.libvirt.uri")).to.equal("<empty>\n");
    const { list } = JSON.parse(await user.done("list", "--format", "json"));
    expect(list).to.have.length(1);
    expect(list[0]).to.include({ name: NAME, state: "Running" });
    expect((await stat(join(user.home, ".local/share/strata/pool"))).isDirectory()).to.equal(true);
  });

  it("keeps the exit status, the signal and the words of commands", async () => {
    expect((await user.strata("exec", NAME, "--", "sh", "-c", "exit 42")).code).to.equal(42);
    expect((await user.strata("exec", NAME, "--", "sh", "-c", "kill -KILL $$")).code).to.equal(128 + 9);
    expect(await inside("printf", "%s|", "a b", "$HOME", "*", "it's")).to.equal("a b|$HOME|*|it's|");
  });

  it("transfers files and folders, there and back", async () => {
    const host = (inner: string) => join(user.home, inner);
    const { uid, gid } = await stat(user.home);
    await writeFile(host("note"), "first", { mode: 0o640 });
    await chown(host("note"), uid, gid);
    await user.done("transfer", "-p", "note", `${NAME}:deep/er/note`);
    expect(await inside("stat", "-c", "%a %s", "deep/er/note")).to.equal("640 5");
    await inside("ln", "-s", "note", "deep/er/link");
    await user.done("transfer", "--recursive", `${NAME}:deep`, "back");
    expect(await readFile(host("back/er/link"), "utf8")).to.equal("first");
    expect(await user.done("transfer", `${NAME}:deep/er/note`, "-")).to.equal("first");
    const { code, stderr } = await user.strata("transfer", `${NAME}:none`, ".");
    expect([code, stderr.split("\n")[0]]).to.deep.equal([
      3,
      `strata: file "${NAME}:none" does not exist or cannot be read`,
    ]);
    expect((await user.strata("transfer", "note", `${NAME}:/etc/note`)).code).to.equal(8);
    expect(await inside("find", "/etc", "-maxdepth", "1", "-name", ".strata*")).to.equal("");
    await chmod(host("note"), 0);
    const unreadable = await user.strata("transfer", "note", `${NAME}:other`);
    expect([unreadable.code, unreadable.stderr]).to.deep.equal([8, "strata: permission denied: note\n"]);
    expect((await user.strata("exec", NAME, "--", "ls", "other")).code).not.to.equal(0);
  });

  it("offers a port of the guest on this host, until it is told to end", async () => {
    const forward = user.start("port", "forward", NAME, "0:22");
    const [line] = (await once(forward.stdout ?? forward, "data")) as [Buffer];
    const [, port] = /^Forwarding 127\.0\.0\.1:(\d+) to mine:22\n$/.exec(String(line)) ?? [];
    const socket = connect(Number(port), "127.0.0.1");
    const [greeting] = (await once(socket, "data")) as [Buffer];
    expect(String(greeting)).to.match(/^SSH-2\.0-dropbear/);
    const closed = once(socket, "close");
    forward.kill("SIGTERM");
    expect(await once(forward, "exit")).to.deep.equal([130, null]);
    await closed;
  });

  it("refuses a guest whose host key is not the one seen first", async () => {
    const again =
      "rm -f $k; dropbearkey -t ed25519 -f $k >/dev/null 2>&1; (sleep 1; killall dropbear) >/dev/null 2>&1 &";
    await inside(
      "sudo",
      "sh",
      "-c",
      `cp /etc/dropbear/host_ed25519 /root/key; k=/etc/dropbear/host_ed25519; ${again}`,
    );
    // Until its sshd has come back with the new key, the old one still answers or nobody does.
    for (let code = 0, end = Date.now() + 60_000; code !== 8; ) {
      expect(Date.now()).to.be.lessThan(end);
      const ended = await user.strata("exec", NAME, "--", "true");
      if (ended.code === 8) {
        expect(ended.stderr).to.contain("has changed since the first connection");
      }
      code = ended.code;
    }
  });

  it("stops, snapshots, restores and removes it", async () => {
    await user.done("stop", NAME);
    expect(await user.done("snapshot", NAME, "-n", "clean")).to.equal(`Snapshot taken: ${NAME}.clean\n`);
    await user.done("set", `local.${NAME}.cpus=2`);
    expect(await user.done("snapshot", NAME)).to.equal(`Snapshot taken: ${NAME}.snapshot2\n`);
    await user.done("restore", "-d", `${NAME}.clean`);
    expect(await user.done("get", `local.${NAME}.cpus`)).to.equal("1\n");
    await user.done("delete", "--purge", `${NAME}.snapshot2`);
    await user.done("delete", "--purge", NAME);
    expect(await user.done("list")).to.equal("No instances found.\n");
  });
});

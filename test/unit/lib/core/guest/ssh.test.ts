import { once } from "node:events";
import { chmod, mkdir, readFile, readlink, stat, symlink, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect } from "chai";
import { asStrataError } from "../../../../../lib/errors.ts";
import { type SshRoom, sshRoom } from "../../../../support/guest/ssh-room.ts";

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => "nothing",
    (error: unknown) => asStrataError(error).code,
  );

describe("ssh to instances", () => {
  let at: SshRoom;
  beforeEach(async () => {
    at = await sshRoom();
    await at.strata.instances.launch({ image: "any", name: "web" });
  });
  afterEach(() => at[Symbol.asyncDispose]());
  const config = () => readFile(join(at.ssh, "config"), "utf8");
  const kept = () => readFile(join(at.ssh, "config.d/strata"), "utf8");
  const knownHosts = () => readFile(join(at.folder, "data/ssh/known_hosts"), "utf8");

  describe("logins", () => {
    it("name the address, the user, the key and the host key that was pinned", async () => {
      const [login, ...more] = await at.strata.ssh.logins("web");
      expect(more).to.deep.equal([]);
      expect(login).to.deep.include({
        instance: "web",
        alias: "web.strata",
        engine: "memory",
        ...at.server.endpoint,
        username: "ubuntu",
        hostKey: at.server.hostKey,
      });
      expect(await readFile(login?.identityFile ?? "", "utf8")).to.contain("PRIVATE KEY");
      expect(await readFile(login?.knownHostsFile ?? "", "utf8")).to.equal(
        `web.strata ${at.server.hostKey} memory\n`,
      );
    });

    it("are of all that run, or of those that are named, which have to run", async () => {
      await at.strata.instances.launch({ image: "any", name: "db" });
      await at.strata.instances.launch({ image: "any", name: "off" });
      await at.strata.instances.stop("off", { force: true });
      const names = (await at.strata.ssh.logins()).map(({ instance }) => instance);
      expect(names).to.deep.equal(["db", "web"]);
      expect(await codeOf(at.strata.ssh.logins("off"))).to.equal("WRONG_STATE");
      expect(await codeOf(at.strata.ssh.logins("none"))).to.equal("INSTANCE_NOT_FOUND");
    });

    it("leave out a guest without an address, which is refused by its name", async () => {
      at.endpoint = null;
      const warned: string[] = [];
      expect(await at.strata.ssh.logins(undefined, { warn: (text) => warned.push(text) })).to.deep.equal([]);
      expect(warned.join()).to.contain("it has no address yet");
      expect(await codeOf(at.strata.ssh.logins("web"))).to.equal("GUEST_UNREACHABLE");
    });
  });

  describe("a configuration that is included", () => {
    it("has what runs, and follows launches, stops and purges", async () => {
      await at.strata.ssh.include();
      expect(await kept())
        .to.contain("\nHost web.strata\n")
        .and.contain(`Port ${at.server.endpoint.port}\n`);
      await at.strata.instances.launch({ image: "any", name: "db" });
      expect((await kept()).match(/^Host .*/gm)).to.deep.equal(["Host db.strata", "Host web.strata"]);
      expect(await knownHosts()).to.contain("db.strata ssh-ed25519");
      await at.strata.instances.delete("web", { purge: true });
      expect((await kept()).match(/^Host .*/gm)).to.deep.equal(["Host db.strata"]);
    });

    it("goes before what the user has, whose file keeps its bytes, its mode and that it is a link", async () => {
      const mine = Buffer.concat([
        Buffer.from("Host old # caf"),
        Buffer.from([0xe9]),
        Buffer.from("\n  Port 1\n"),
      ]);
      await mkdir(at.ssh, { recursive: true });
      await writeFile(join(at.folder, "dotfile"), mine);
      await chmod(join(at.folder, "dotfile"), 0o640);
      await symlink(join(at.folder, "dotfile"), join(at.ssh, "config"));
      await at.strata.ssh.include();
      await at.strata.ssh.include();
      const after = await readFile(join(at.ssh, "config"));
      const path = join(at.ssh, "config.d/strata");
      const lines = `# strata's instances, as NAME.strata\nInclude ${path}\n\n`;
      expect(after.equals(Buffer.concat([Buffer.from(lines), mine]))).to.equal(true);
      expect(await readlink(join(at.ssh, "config"))).to.equal(join(at.folder, "dotfile"));
      expect((await stat(join(at.ssh, "config"))).mode & 0o777).to.equal(0o640);
      await at.strata.ssh.exclude();
      expect((await readFile(join(at.ssh, "config"))).equals(mine)).to.equal(true);
      expect(await codeOf(kept())).to.not.equal("nothing");
    });

    it("is not included twice where the user includes the folder, and is where only one host does", async () => {
      await mkdir(at.ssh, { recursive: true });
      await writeFile(join(at.ssh, "config"), "Include config.d/*\n");
      await at.strata.ssh.include();
      expect(await config()).to.equal("Include config.d/*\n");
      await writeFile(join(at.ssh, "config"), "Host x\n  Include config.d/*\n");
      await at.strata.ssh.include();
      expect(await config()).to.match(/^# strata.*\nInclude \S+\n\nHost x\n {2}Include config.d\/\*\n$/);
    });

    it("is nobody else's file: not one of the user's, nor that of other data of strata's", async () => {
      await mkdir(join(at.ssh, "config.d"), { recursive: true });
      for (const theirs of [
        "Host strata\n",
        "# Kept by strata; what is changed here is overwritten. Data: /other\n",
      ]) {
        await writeFile(join(at.ssh, "config.d/strata"), theirs);
        expect(await codeOf(at.strata.ssh.include())).to.equal("FILE_NOT_OURS");
        expect(await codeOf(at.strata.ssh.exclude())).to.equal("FILE_NOT_OURS");
        await at.strata.instances.launch({ image: "any", name: `n${theirs.length}` });
        expect(await kept()).to.equal(theirs);
      }
      expect(await codeOf(config())).to.not.equal("nothing");
    });

    it("keeps what another engine's instances have in it", async () => {
      await at.strata.ssh.include();
      const other = "\n# other\nHost far.strata\n  HostName 10.0.0.1\n";
      await writeFile(join(at.ssh, "config.d/strata"), (await kept()) + other);
      await at.strata.instances.launch({ image: "any", name: "db" });
      expect(await kept()).to.contain(other);
      expect((await kept()).match(/^Host .*/gm)).to.have.members([
        "Host far.strata",
        "Host db.strata",
        "Host web.strata",
      ]);
    });
  });

  describe("a port that is forwarded", () => {
    let service: Server;
    let to: number;
    beforeEach(async () => {
      service = createServer({ allowHalfOpen: true }, (socket) => {
        let said = "";
        socket.on("data", (chunk) => {
          said += String(chunk);
        });
        socket.on("end", () => socket.end(`got ${said}`));
      });
      service.listen(0, "127.0.0.1");
      await once(service, "listening");
      to = (service.address() as AddressInfo).port;
    });
    afterEach(() => service.close());
    const ask = async (port: number, said: string) => {
      const socket = connect(port, "127.0.0.1");
      socket.end(said);
      return text(socket).catch((error: NodeJS.ErrnoException) => error.code);
    };
    const forward = (options: Partial<Parameters<typeof at.strata.ssh.forward>[1]> = {}) =>
      at.strata.ssh.forward("web", { to, toHost: "127.0.0.1", port: 0, ...options });

    it("leads many connections to the instance over one login", async () => {
      await using made = await forward();
      const answers = await Promise.all(["a", "b", "c"].map((said) => ask(made.port, said)));
      expect(answers).to.deep.equal(["got a", "got b", "got c"]);
      const logins = at.server.seen.filter((each) => each.startsWith("auth publickey")).length;
      await ask(made.port, "d");
      expect(at.server.seen.filter((each) => each.startsWith("auth publickey"))).to.have.length(logins);
    });

    it("is reached again after the instance was restarted, and refuses meanwhile", async () => {
      const warned: string[] = [];
      await using made = await forward({ warn: (text) => warned.push(text) });
      expect(await ask(made.port, "a")).to.equal("got a");
      await at.strata.instances.stop("web", { force: true });
      at.server.cut();
      await at.server.left();
      for (const answer of [await ask(made.port, "b"), await ask(made.port, "b")]) {
        expect(answer).to.be.oneOf(["", "ECONNRESET"]);
      }
      expect(warned.filter((each) => each.includes("Only running instances"))).to.have.length(1);
      await at.strata.instances.start("web");
      expect(await ask(made.port, "c")).to.equal("got c");
    });

    it("says once that nothing answers there", async () => {
      const closed = service.close();
      await once(closed, "close");
      const warned: string[] = [];
      await using made = await forward({ warn: (text) => warned.push(text) });
      expect(await ask(made.port, "a")).to.be.oneOf(["", "ECONNRESET"]);
      expect(await ask(made.port, "a")).to.be.oneOf(["", "ECONNRESET"]);
      expect(warned).to.deep.equal([`nothing answers at port ${to} of 127.0.0.1 in "web"`]);
    });

    it("ends with its signal or when it is disposed of, with what is connected", async () => {
      const stop = new AbortController();
      const made = await forward({ signal: stop.signal });
      const socket = connect(made.port, "127.0.0.1");
      await once(socket, "connect");
      stop.abort();
      await made.closed;
      await text(socket).catch(() => {});
      expect(await ask(made.port, "a")).to.equal("ECONNREFUSED");
      const again = await forward({ port: made.port });
      await again[Symbol.asyncDispose]();
      expect(await ask(made.port, "a")).to.equal("ECONNREFUSED");
    });

    it("is refused where the port is taken, where it is none, and where the instance is not there", async () => {
      await using made = await forward();
      expect(await codeOf(forward({ port: made.port }))).to.equal("PORT_TAKEN");
      expect(await codeOf(forward({ port: 70_000 }))).to.equal("INVALID_VALUE");
      expect(await codeOf(forward({ address: "nowhere" }))).to.equal("INVALID_VALUE");
      expect(await codeOf(forward({ address: "192.0.2.1" }))).to.equal("INVALID_VALUE");
      expect(await codeOf(at.strata.ssh.forward("none", { to }))).to.equal("INSTANCE_NOT_FOUND");
    });
  });
}).timeout(20_000);

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { ConnectionLostError, connect, type Domain } from "../../../plugins/libvirt/rpc/index.ts";
import { type BindingRoom, bindingRoom, NAME } from "../../support/libvirt/binding-room.ts";

describe("the binding over ssh", () => {
  let room: BindingRoom;
  let folder: string;
  let domain: Domain;
  before(async () => {
    room = await bindingRoom();
    ({ folder, domain } = room);
  });
  after(() => room[Symbol.asyncDispose]());
  const path = process.env.PATH;
  let far: string;
  before(async () => {
    far = join(folder, "bin");
    await mkdir(far);
  });
  afterEach(() => {
    process.env.PATH = path;
  });

  /** Puts a program named ssh before the real one: this host has no other to log in to. */
  async function standIn(script: string): Promise<void> {
    await writeFile(join(far, "ssh"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    process.env.PATH = `${far}:${path}`;
  }

  it("speaks to the daemon through the far host's helper, and never lets ssh ask", async () => {
    const log = join(folder, "ssh-arguments");
    await standIn(`echo "$@" > ${log}; while [ "$1" != -- ]; do shift; done; shift 2; exec "$@"`);
    await using there = await connect("qemu+ssh://admin@far.example:2222/system");
    expect((await there.lookupDomainByName(NAME)).uuid).to.equal(domain.uuid);
    expect((await readFile(log, "utf8")).trim()).to.equal(
      "-T -o BatchMode=yes -p 2222 -- admin@far.example virt-ssh-helper qemu:///system",
    );
  });

  it("says what ssh said when the login fails", async () => {
    await standIn("echo 'admin@far.example: Permission denied (publickey).' >&2; exit 255");
    const error = await connect("qemu+ssh://admin@far.example/system").catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(ConnectionLostError);
    expect(String(error)).to.contain("Permission denied (publickey).");
  });

  it("refuses hosts and users that ssh would take for options", async () => {
    for (const uri of ["qemu+ssh://-oProxyCommand=x@host/system", "qemu+ssh://%2doX=y@host/system"]) {
      const error = await connect(uri).catch((reason: unknown) => reason);
      expect(error, uri).to.be.instanceOf(TypeError);
    }
  });
});

import { expect } from "chai";
import { type CliRoom, cliRoom } from "../../../../support/cli.ts";
import { type SshRoom, sshRoom } from "../../../../support/guest/ssh-room.ts";

describe("inventory", () => {
  let guests: SshRoom;
  let at: CliRoom;
  before(async () => {
    guests = await sshRoom();
    await guests.strata.instances.launch({ image: "any", name: "web" });
    await guests.strata.instances.launch({ image: "any", name: "off" });
    await guests.strata.instances.stop("off", { force: true });
    at = await cliRoom(async () => guests.strata);
  });
  after(async () => {
    await at[Symbol.asyncDispose]();
    await guests[Symbol.asyncDispose]();
  });

  it("has what Ansible needs of all instances that run, and of one of them", async () => {
    const { host, port } = guests.server.endpoint;
    const whole = JSON.parse(await at.done("inventory", "--list"));
    expect(whole.all).to.deep.equal({ children: ["strata"] });
    expect(whole.strata).to.deep.equal({ hosts: ["web"] });
    const { web } = whole._meta.hostvars;
    expect(web).to.include({ ansible_host: host, ansible_port: port, ansible_user: "ubuntu" });
    expect(web.ansible_ssh_common_args)
      .to.contain("-o HostKeyAlias=web.strata")
      .and.contain("-o StrictHostKeyChecking=yes")
      .and.not.contain("HostName");
    expect(JSON.parse(await at.done("inventory", "--host", "web"))).to.deep.equal(web);
  });

  it("is of one host or of all", async () => {
    for (const args of [[], ["--list", "--host", "web"]]) {
      const { code, stderr } = await at.strata("inventory", ...args);
      expect([code, stderr]).to.deep.equal([2, "strata: give --list or --host NAME\n"]);
    }
    expect((await at.strata("inventory", "--host", "off")).code).to.equal(5);
  });
});

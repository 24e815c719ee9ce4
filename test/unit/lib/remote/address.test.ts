import { expect } from "chai";
import { formatAddress, parseAddress } from "../../../../lib/remote/address.ts";
import { thrownCode } from "../../../support/thrown-code.ts";

describe("the address of another host", () => {
  it("has a host, and a user and a port where they are given", () => {
    expect(parseAddress("ssh://box")).to.deep.equal({ user: undefined, host: "box", port: undefined });
    expect(parseAddress("ssh://admin@box.example:2222/")).to.deep.equal({
      user: "admin",
      host: "box.example",
      port: 2222,
    });
    expect(parseAddress("ssh://[fe80::1%eth0]:22")).to.include({ host: "fe80::1%eth0", port: 22 });
  });

  it("is written as it is read", () => {
    for (const address of ["ssh://box", "ssh://a.b-c_d@10.0.0.7", "ssh://me@[::1]:2222"]) {
      expect(formatAddress(parseAddress(address))).to.equal(address);
    }
  });

  it("can hold no option of ssh, nothing for a shell and no password", () => {
    for (const address of [
      "ssh://-oProxyCommand=x",
      "ssh://-l@box",
      "ssh://-oProxyCommand=touch x@box",
      "ssh://box -oProxyCommand=x",
      "ssh://box;id",
      "ssh://$(id)@box",
      "ssh://`id`",
      "ssh://a'b",
      "ssh://a@b@c",
      "ssh://[-oProxyCommand=x]",
      "ssh://[::1",
      "ssh://me:secret@box",
      "ssh://box:0",
      "ssh://box:65536",
      "ssh://box:",
      "ssh://box:2x",
      "ssh://box/path",
      "ssh://",
      "ssh://@box",
      "ssh://b\nox",
      "ssh://box\0",
      "https://box",
      "admin@box",
      "box:2222",
    ]) {
      expect(
        thrownCode(() => parseAddress(address)),
        address,
      ).to.equal("INVALID_VALUE");
    }
  });

  it("is refused without repeating a password", () => {
    expect(() => parseAddress("ssh://me:secret@box"))
      .to.throw()
      .with.property("message")
      .not.contain("secret");
  });
});

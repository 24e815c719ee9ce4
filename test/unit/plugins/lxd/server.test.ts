import { createHash } from "node:crypto";
import { expect } from "chai";
import { failure } from "../../../../lib/errors.ts";
import { errorsOf, isSaid, isStatus, lxdError } from "../../../../plugins/lxd/errors.ts";
import { type Flavour, INCUS, LXD } from "../../../../plugins/lxd/flavour.ts";
import lxd from "../../../../plugins/lxd/index.ts";
import { readLease } from "../../../../plugins/lxd/lock/lease.ts";
import { INSTANCE_BUSY } from "../../../../plugins/lxd/messages.ts";
import { pinFailure } from "../../../../plugins/lxd/rest/endpoint.ts";
import { LxdConnectionError, LxdError } from "../../../../plugins/lxd/rest/errors.ts";

describe("what LXD reports", () => {
  const codeOf = (error: unknown, name?: string) => lxdError(error, LXD, name).code;

  it("becomes an error of strata's table, with what was caught as its cause", () => {
    const refused = Object.assign(new Error("connect EACCES /x"), { code: "EACCES" });
    const cases: [Error, string][] = [
      [new LxdError(403, "not authorized"), "PERMISSION_DENIED"],
      [new LxdError(404, "Instance not found"), "INSTANCE_NOT_FOUND"],
      [new LxdError(0, "write: No space left on device"), "NO_SPACE"],
      [new LxdError(0, "Disk quota exceeded"), "NO_SPACE"],
      [new LxdError(500, "something"), "ENGINE_ERROR"],
      [new LxdConnectionError("connect ENOENT /x", false, undefined), "ENGINE_UNAVAILABLE"],
      [new LxdConnectionError("read ECONNRESET", true, undefined), "ENGINE_LOST"],
      [new LxdConnectionError("connect EACCES /x", false, refused), "PERMISSION_DENIED"],
      [new TypeError("a bug"), "ENGINE_ERROR"],
    ];
    for (const [error, code] of cases) {
      expect(codeOf(error, "web"), error.message).to.equal(code);
      expect(lxdError(error, LXD, "web").cause).to.equal(error);
    }
    expect(codeOf(new LxdError(404, "Instance not found")), "of nothing that has a name").to.equal(
      "ENGINE_ERROR",
    );
  });

  it("names the instance, also where only its id is known", () => {
    const id = "3e0d4a1c-6f0e-4a53-a4f4-b0a4f1f8b3a1";
    const map = errorsOf({ flavour: LXD, names: new Map([[id, "web"]]) });
    for (const known of ["web", id]) {
      const { message } = map(new LxdError(404, "Instance not found"), known);
      expect(message).to.equal('instance "web" does not exist');
    }
  });

  it("is called by the name of the server that reported it, with its own group and commands", () => {
    const refused = Object.assign(new Error("connect EACCES /x"), { code: "EACCES" });
    const said = (flavour: Flavour) => [
      lxdError(new LxdError(500, "something"), flavour).message,
      lxdError(new LxdConnectionError("connect EACCES /x", false, refused), flavour).message,
    ];
    expect(said(LXD).join())
      .to.match(/LXD.*group lxd/)
      .and.not.match(/incus/i);
    expect(said(INCUS).join())
      .to.match(/Incus.*group incus-admin/)
      .and.not.match(/lxd/i);
  });

  it("leaves an error of the table as it is, and takes one of an aborted call for cancelled", () => {
    const own = failure("BUSY", { name: "web" });
    expect(lxdError(own, LXD)).to.equal(own);
    expect(codeOf(new DOMException("stop", "AbortError"))).to.equal("CANCELLED");
  });

  it("tells being busy, and its statuses, from other trouble", () => {
    expect(isSaid(new LxdError(400, 'Instance is busy running a "stop" operation'), INSTANCE_BUSY)).to.equal(
      true,
    );
    expect(isSaid(new LxdError(400, "Invalid value"), INSTANCE_BUSY)).to.equal(false);
    expect(isSaid(new Error("Instance is busy running"), INSTANCE_BUSY)).to.equal(false);
    expect(isStatus(new LxdError(412, "etag"), 404, 412)).to.equal(true);
    expect(isStatus(new LxdError(500, "etag"), 404, 412)).to.equal(false);
  });
});

describe("settings of LXD", () => {
  const refused = (key: string, value: string) =>
    lxd.settings.find((each) => each.key === key)?.validate(value) !== undefined;

  it("take one server, or the members of a cluster, over https only", () => {
    const right = ["", "https://10.0.0.5:8443", "https://a:1,https://[::1]:2/"];
    const wrong = ["http://10.0.0.5:8443", "10.0.0.5", "https://a:1,", "https://a/1.0", "https://a b"];
    expect(right.filter((value) => refused("url", value))).to.deep.equal([]);
    expect(wrong.filter((value) => !refused("url", value))).to.deep.equal([]);
  });

  it("take an absolute socket, a whole fingerprint, and names", () => {
    expect([refused("socket", "/run/x"), refused("socket", "run/x")]).to.deep.equal([false, true]);
    expect([refused("fingerprint", "Ab".repeat(32)), refused("fingerprint", "ab")]).to.deep.equal([
      false,
      true,
    ]);
    expect([refused("pool", "fast"), refused("pool", "../x"), refused("network", "a b")]).to.deep.equal([
      false,
      true,
      true,
    ]);
  });
});

describe("a server of LXD over TLS", () => {
  const url = new URL("https://10.0.0.5:8443");

  it("is spoken to only with the pinned certificate; without a pin its own is told", () => {
    const certificate = Buffer.from("certificate");
    const sum = createHash("sha256").update(certificate).digest("hex");
    expect(pinFailure(LXD, url, certificate, sum)).to.equal(undefined);
    expect(pinFailure(LXD, url, certificate, sum.toUpperCase())).to.equal(undefined);
    for (const pinned of ["", "0".repeat(64)]) {
      const error = pinFailure(LXD, url, certificate, pinned);
      expect(error?.code).to.equal("PERMISSION_DENIED");
      expect(String(error?.details.reason)).to.contain(sum);
    }
    expect(pinFailure(LXD, url, undefined, sum)?.code).to.equal("PERMISSION_DENIED");
  });
});

describe("a lease in a config", () => {
  it("that cannot be read is none", () => {
    const lease = { holder: "h", host: "b", pid: 1, began: "7", beat: 0 };
    expect(readLease(JSON.stringify(lease))).to.deep.equal(lease);
    for (const text of ["", "{", "{}", '{"holder":1}']) {
      expect(readLease(text)).to.equal(undefined);
    }
  });
});

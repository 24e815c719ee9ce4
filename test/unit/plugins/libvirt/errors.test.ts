import { expect } from "chai";
import { failure } from "../../../../lib/errors.ts";
import { fileError, isSaid, libvirtError } from "../../../../plugins/libvirt/errors.ts";
import {
  CHECKPOINTS_EXIST,
  DOMAIN_NAME_TAKEN,
  PCI_SLOTS_USED_UP,
  PERMISSION_DENIED,
  PORT_IN_USE,
  SNAPSHOT_NAME_TAKEN,
  SPACE_USED_UP,
} from "../../../../plugins/libvirt/messages.ts";
import * as qemuImg from "../../../../plugins/libvirt/qcow2/messages.ts";
import {
  CallTimeoutError,
  ConnectionLostError,
  LibvirtError,
} from "../../../../plugins/libvirt/rpc/index.ts";

/** Codes of libvirt's. */
const [INTERNAL, OPERATION_FAILED, NO_DOMAIN, SYSTEM, UNSUPPORTED, BUSY] = [1, 9, 42, 38, 84, 87];

const said = (message: string, code = INTERNAL) => new LibvirtError({ code, domain: 10, level: 2, message });

/** Messages of libvirt 9.0.0 with QEMU 7.2, word for word but for names. */
const MESSAGES = {
  domain: "operation failed: domain 'web' already exists with uuid 11111111-1111-1111-1111-111111111101",
  snapshot: "operation failed: domain moment clean already exists",
  checkpoint: "Operation not supported: cannot perform block operations while checkpoint exists",
  slots: "internal error: No more available PCI slots",
  port: "internal error: qemu unexpectedly closed the monitor: 2026-11-29T16:39:50.544451Z qemu-system-x86_64: -netdev user,id=x,hostfwd=tcp:127.0.0.1:40123-:22: Could not set up host forwarding rule 'tcp:127.0.0.1:40123-:22'",
  space: "cannot write data to file '/etc/libvirt/qemu/web.xml.new': No space left on device",
  denied: "Cannot create directory '/run/user/1000/libvirt': Permission denied",
};

describe("what libvirt says in words alone", () => {
  const patterns = {
    domain: DOMAIN_NAME_TAKEN,
    snapshot: SNAPSHOT_NAME_TAKEN,
    checkpoint: CHECKPOINTS_EXIST,
    slots: PCI_SLOTS_USED_UP,
    port: PORT_IN_USE,
    space: SPACE_USED_UP,
    denied: PERMISSION_DENIED,
  };

  it("is told by one pattern each", () => {
    for (const [meaning, message] of Object.entries(MESSAGES)) {
      const found = Object.entries(patterns).filter(([, pattern]) => isSaid(said(message), pattern));
      expect(
        found.map(([name]) => name),
        message,
      ).to.deep.equal([meaning]);
    }
  });

  it("counts only where libvirt has said it", () => {
    expect(isSaid(new Error(MESSAGES.snapshot), SNAPSHOT_NAME_TAKEN)).to.equal(false);
    expect(isSaid(undefined, SNAPSHOT_NAME_TAKEN)).to.equal(false);
  });
});

describe("what qemu-img prints", () => {
  it("tells that no room is left, and nothing else does", () => {
    const full = [
      "qemu-img: error while writing at byte 0: No space left on device",
      "qemu-img: t/z.qcow2: Could not write qcow2 header: No space left on device",
      "qemu-img: error while writing at byte 0: Disk quota exceeded",
    ];
    expect(full.filter((message) => !qemuImg.SPACE_USED_UP.test(message))).to.deep.equal([]);
    const missing = "qemu-img: Could not open 't/z.qcow2': No such file or directory";
    expect(qemuImg.SPACE_USED_UP.test(missing)).to.equal(false);
  });

  it("tells how far it is", () => {
    expect(qemuImg.PROGRESS.exec("    (0.00/100%)\r    (42.13/100%)\r")?.[1]).to.equal("42.13");
    expect(qemuImg.PROGRESS.exec("Image resized.\n")).to.equal(null);
  });
});

describe("what libvirt reports", () => {
  it("becomes an error of strata's table, with what was caught as its cause", () => {
    const cases: [Error, string][] = [
      [said("Domain not found", NO_DOMAIN), "INSTANCE_NOT_FOUND"],
      [said("cannot acquire state change lock", BUSY), "BUSY"],
      [said(MESSAGES.checkpoint, UNSUPPORTED), "CHECKPOINTS_IN_WAY"],
      [said(MESSAGES.port), "PORT_TAKEN"],
      [said(MESSAGES.space, SYSTEM), "NO_SPACE"],
      [said(MESSAGES.domain, OPERATION_FAILED), "ENGINE_ERROR"],
      [new ConnectionLostError("read ECONNRESET"), "ENGINE_LOST"],
      [new CallTimeoutError("no answer", 120_000), "TIMEOUT"],
      [new DOMException("stop", "AbortError"), "CANCELLED"],
      [new TypeError("a bug"), "ENGINE_ERROR"],
    ];
    for (const [error, code] of cases) {
      const found = libvirtError(error, "web");
      expect(found.code, error.message).to.equal(code);
      expect(found.cause).to.equal(error);
      expect(found.message).not.to.match(/\{\w+\}/);
    }
    const own = failure("SNAPSHOT_EXISTS", { name: "web", snapshot: "clean" });
    expect(libvirtError(own)).to.equal(own);
  });

  it("names the port that is in use, and the instance where the call was about one", () => {
    expect(libvirtError(said(MESSAGES.port)).message).to.contain("port 40123 ");
    expect(libvirtError(said("busy", BUSY), "web").message).to.contain('"web"');
    expect(libvirtError(said("busy", BUSY)).message).to.contain('"the host"');
    expect(libvirtError(said("Domain not found", NO_DOMAIN)).code).to.equal("ENGINE_ERROR");
  });
});

describe("what the file system reports", () => {
  it("becomes an error of strata's table by its code", () => {
    const cases = {
      EACCES: "PERMISSION_DENIED",
      EPERM: "PERMISSION_DENIED",
      ENOSPC: "NO_SPACE",
      EDQUOT: "NO_SPACE",
      ENOENT: "FILE_NOT_FOUND",
      EIO: "ENGINE_ERROR",
    };
    for (const [code, wanted] of Object.entries(cases)) {
      expect(fileError(Object.assign(new Error(code), { code }), "/a").code, code).to.equal(wanted);
    }
    expect(fileError(new DOMException("stop", "AbortError"), "/a").code).to.equal("CANCELLED");
  });
});

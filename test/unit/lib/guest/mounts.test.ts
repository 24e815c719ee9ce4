import { PassThrough, Readable } from "node:stream";
import { expect } from "chai";
import type { GuestMount } from "../../../../lib/engine/contract.ts";
import { isStrataError } from "../../../../lib/errors.ts";
import { mountInside, outermostFirst, type RootExec, unmountInside } from "../../../../lib/guest/mounts.ts";

const MOUNT: GuestMount = {
  source: "strata-1",
  target: "/srv/a b",
  filesystem: "9p",
  options: "trans=virtio",
};

/** A guest in which every command ends like this. */
function guest(code: number, complaint = ""): RootExec {
  return async () => ({
    stdin: new PassThrough(),
    stdout: Readable.from([]),
    stderr: Readable.from([complaint]),
    resize() {},
    exit: Promise.resolve({ code }),
  });
}

async function failureOf(work: Promise<void>): Promise<string> {
  return work.then(
    () => "it worked",
    (error: unknown) => (isStrataError(error) ? `${error.code}: ${error.message}` : String(error)),
  );
}

describe("mounting inside a guest", () => {
  it("says what the guest lacks", async () => {
    const messages = [
      "mount: /srv/a b: unknown filesystem type '9p'.\n       dmesg(1) may have more information after failed mount system call.\n",
      'modprobe: not found\nmount: mounting strata-1 on "/srv/a b" failed: No such device',
    ];
    for (const message of messages) {
      expect(await failureOf(mountInside("web", guest(32, message), MOUNT))).to.equal(
        'MOUNT_FAILED: the guest of "web" cannot mount /srv/a b: its kernel does not support 9p',
      );
    }
  });

  it("hands on the guest's own reason, and its status where it says nothing", async () => {
    expect(
      await failureOf(mountInside("web", guest(1, "note\nmkdir: Read-only file system\n"), MOUNT)),
    ).to.contain("/srv/a b: mkdir: Read-only file system");
    expect(await failureOf(mountInside("web", guest(9), MOUNT))).to.contain(
      "the command exited with status 9",
    );
    expect(await failureOf(mountInside("web", guest(0, "a warning"), MOUNT))).to.equal("it worked");
  });

  it("tells what is in use from what cannot be unmounted", async () => {
    expect(
      await failureOf(unmountInside("web", guest(32, "umount: /srv/a b: target is busy."), MOUNT)),
    ).to.match(/^MOUNT_BUSY: /);
    expect(await failureOf(unmountInside("web", guest(1, "sudo: a password is required"), MOUNT))).to.equal(
      'MOUNT_FAILED: the guest of "web" cannot mount /srv/a b: sudo: a password is required',
    );
  });

  it("goes from the outside in", () => {
    const at = (target: string): GuestMount => ({ ...MOUNT, target });
    const order = outermostFirst([at("/a/b/c"), at("/a"), at("/b"), at("/a/b")]);
    expect(order.map(({ target }) => target)).to.deep.equal(["/a", "/a/b", "/a/b/c", "/b"]);
  });
});

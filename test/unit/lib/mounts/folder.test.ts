import { expect } from "chai";
import { folderInside } from "../../../../lib/mounts/folder.ts";

describe("a folder of the host in the guest", () => {
  const mounts = [
    { source: "/home/me", target: "/home/ubuntu/Home" },
    { source: "/home/me/src", target: "/src" },
    { source: "/home/me/src..old", target: "/old" },
  ];

  it("is found by the mount nearest to it", () => {
    expect(folderInside(mounts, "/home/me")).to.equal("/home/ubuntu/Home");
    expect(folderInside(mounts, "/home/me/a/b")).to.equal("/home/ubuntu/Home/a/b");
    expect(folderInside(mounts, "/home/me/src/a")).to.equal("/src/a");
    expect(folderInside(mounts, "/home/me/src..old/a")).to.equal("/old/a");
    expect(folderInside(mounts, "/home/me/..b")).to.equal("/home/ubuntu/Home/..b");
  });

  it("is not taken for another one whose name begins alike", () => {
    expect(folderInside(mounts, "/home/me2")).to.equal(undefined);
    expect(folderInside(mounts, "/home")).to.equal(undefined);
    expect(folderInside([], "/home/me")).to.equal(undefined);
    expect(folderInside([{ source: "/", target: "/host" }], "/etc/x")).to.equal("/host/etc/x");
  });
});

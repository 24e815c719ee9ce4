import { expect } from "chai";
import { lockedInodes } from "../../../../../plugins/libvirt/storage/file-users.ts";

/** As the kernel writes it; the first is a lock of flock(1), the last that of another file waiting for one. */
const LOCKS = `1: FLOCK  ADVISORY  WRITE 4711 fe:00:1001 0 EOF
2: POSIX  ADVISORY  WRITE 812 00:19:1002 0 EOF
3: OFDLCK ADVISORY  READ  -1 fe:00:1003 201 201
4: OFDLCK ADVISORY  READ  -1 fe:00:1003 100 101
5: OFDLCK ADVISORY  WRITE -1 00:2f:9007199254740991 0 EOF
5: -> OFDLCK ADVISORY  WRITE -1 fe:00:1004 0 EOF
`;

describe("files that a QEMU has locked", () => {
  it("are those with an open file description's lock, by their inodes", () => {
    expect([...lockedInodes(LOCKS)]).to.deep.equal([1003, 9007199254740991, 1004]);
  });

  it("are none where the kernel tells of no lock", () => {
    expect(lockedInodes("").size).to.equal(0);
  });
});

import { expect } from "chai";
import { guessRelease } from "../../../../lib/images/guessed-release.ts";

const KNOWN: Readonly<Record<string, string>> = {
  "debian-12-genericcloud-amd64.qcow2": "Debian 12",
  "debian-13-nocloud-amd64-20251006-2257.qcow2": "Debian 13",
  "debian-sid-nocloud-amd64-daily.qcow2": "Debian",
  "jammy-server-cloudimg-amd64.img": "Ubuntu 22.04",
  "ubuntu-24.04-minimal-cloudimg-amd64.img": "Ubuntu 24.04",
  "ubuntu-24.04.1-live-server-amd64.iso": "Ubuntu 24.04.1",
  "Fedora-Cloud-Base-Generic.x86_64-40-1.14.qcow2": "Fedora 40",
  "CentOS-Stream-GenericCloud-9-20240101.0.x86_64.qcow2": "CentOS Stream 9",
  "Rocky-9-GenericCloud-Base.latest.x86_64.qcow2": "Rocky Linux 9",
  "AlmaLinux-9-GenericCloud-latest.x86_64.qcow2": "AlmaLinux 9",
  "openSUSE-Leap-15.6-Minimal-VM.x86_64-Cloud.qcow2": "openSUSE 15.6",
  "nocloud_alpine-3.20.3-x86_64-bios-cloudinit-r0.qcow2": "Alpine Linux 3.20.3",
  "Arch-Linux-x86_64-cloudimg.qcow2": "Arch Linux",
};

describe("guessing the release from a file name", () => {
  for (const [file, expected] of Object.entries(KNOWN)) {
    it(`takes ${file} for ${expected}`, () => {
      const { os, release } = guessRelease(file);
      expect([os, release].filter(Boolean).join(" ")).to.equal(expected);
    });
  }

  it("says nothing of other names", () => {
    for (const file of ["disk.img", "guest-3.qcow2", "", "bookwormish.img", "architecture-2.raw"]) {
      expect(guessRelease(file)).to.deep.equal({ os: "", release: "" });
    }
  });
});

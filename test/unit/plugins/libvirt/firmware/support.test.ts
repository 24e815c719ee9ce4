import { expect } from "chai";
import { readSupport } from "../../../../../plugins/libvirt/firmware/support.ts";
import { parse } from "../../../../../plugins/libvirt/xml/document.ts";

const capabilities = (firmware: string, secure: string) =>
  parse(
    `<domainCapabilities><os><enum name="firmware">${firmware}</enum><loader><enum name="secure">${secure}</enum></loader></os></domainCapabilities>`,
  );
const YES = "<value>yes</value>";
const EFI = "<value>efi</value>";

describe("what a host can boot with", () => {
  it("is what libvirt finds, and Secure Boot only with firmware that has it", async () => {
    const all = readSupport(await capabilities(EFI, YES), { arch: "x86_64" });
    expect([...all.values()]).to.deep.equal([null, null, null]);
    const unsigned = readSupport(await capabilities(EFI, ""), { arch: "x86_64" });
    expect(unsigned.get("uefi")).to.equal(null);
    expect(unsigned.get("uefi-secure")).to.contain("no Secure Boot");
  });

  it("says what to install where there is no UEFI", async () => {
    const none = readSupport(await capabilities("", YES), { arch: "x86_64" });
    expect(none.get("bios")).to.equal(null);
    expect(none.get("uefi")).to.contain("apt-get install ovmf");
    expect(none.get("uefi-secure")).to.contain("apt-get install ovmf");
    const arm = readSupport(await capabilities("", ""), { arch: "aarch64" });
    expect(arm.get("bios")).to.contain("no BIOS");
    expect(arm.get("uefi")).to.contain("qemu-efi-aarch64");
  });
});

import { expect } from "chai";
import { parse, serialize } from "../../../../../plugins/libvirt/xml/document.ts";
import {
  keepVariables,
  putFirmware,
  readFirmware,
  readTpm,
  readVariables,
  setVariables,
} from "../../../../../plugins/libvirt/xml/firmware.ts";

const domain = (os: string, attributes = "", devices = "") =>
  parse(
    `<domain><os${attributes}><type arch="x86_64">hvm</type>${os}</os><features/><devices>${devices}</devices></domain>`,
  );
const FLASH = '<loader readonly="yes" type="pflash">/code.fd</loader>';

describe("the firmware of a definition", () => {
  const kinds: readonly (readonly [string, string, string, string | undefined])[] = [
    ["nothing said", "", "", "bios"],
    ["a flash loader", FLASH, "", "uefi"],
    ["a secure loader", '<loader secure="yes" type="pflash">/code.fd</loader>', "", "uefi-secure"],
    ["automatic selection", "", ' firmware="efi"', "uefi"],
    [
      "automatic selection with secure boot",
      '<firmware><feature name="secure-boot" enabled="yes"/></firmware>',
      ' firmware="efi"',
      "uefi-secure",
    ],
    ["a ROM of somebody's own", '<loader type="rom">/rom.bin</loader>', "", undefined],
  ];
  for (const [what, os, attributes, expected] of kinds) {
    it(`is ${expected ?? "not told"} with ${what}`, async () => {
      expect(readFirmware(await domain(os, attributes))).to.equal(expected);
    });
  }

  const variables: readonly (readonly [string, string, string, unknown])[] = [
    ["BIOS", "", "", undefined],
    [
      "a path",
      `${FLASH}<nvram template="/t">/v.fd</nvram>`,
      "",
      { at: "file", path: "/v.fd", format: "raw" },
    ],
    [
      "a source of a file in qcow2",
      `${FLASH}<nvram type="file" format="qcow2"><source file="/v.qcow2"/></nvram>`,
      "",
      { at: "file", path: "/v.qcow2", format: "qcow2" },
    ],
    ["a template alone", `${FLASH}<nvram template="/t"/>`, "", { at: "default", format: "raw" }],
    ["automatic selection", "", ' firmware="efi"', { at: "default", format: "raw" }],
    [
      "a block device",
      `${FLASH}<nvram type="block"><source dev="/dev/sdx"/></nvram>`,
      "",
      { at: "elsewhere", where: "a source of type block" },
    ],
    [
      "firmware that is written itself",
      '<loader readonly="no" type="pflash">/all.fd</loader>',
      "",
      { at: "elsewhere", where: "the file of the firmware itself" },
    ],
    ["firmware without a state", '<loader type="pflash" stateless="yes">/code.fd</loader>', "", undefined],
  ];
  for (const [what, os, attributes, expected] of variables) {
    it(`tells where the variables are, of ${what}`, async () => {
      expect(readVariables(await domain(os, attributes))).to.deep.equal(expected);
    });
  }

  it("tells an emulated TPM from one of the host", async () => {
    const tpm = (backend: string) => domain("", "", `<tpm model="tpm-crb">${backend}</tpm>`);
    expect(readTpm(await tpm('<backend type="emulator" version="1.2"/>'))).to.deep.equal({
      version: "1.2",
      emulated: true,
    });
    expect(readTpm(await tpm('<backend type="passthrough"/>'))).to.deep.include({ emulated: false });
    expect(readTpm(await domain(""))).to.equal(undefined);
  });

  it("keeps template and format when the variables move", async () => {
    const document = await domain(
      `${FLASH}<nvram type="file" template="/t" format="qcow2"><source file="/v"/></nvram>`,
    );
    setVariables(document, "/new");
    expect(serialize(document)).to.contain('<nvram template="/t" format="qcow2">/new</nvram>');
  });

  it("stays with the present file of variables when a recorded definition names another", async () => {
    const recorded = await domain(`${FLASH}<nvram template="/t">/old.fd</nvram>`);
    keepVariables(recorded, await domain(`${FLASH}<nvram>/now.fd</nvram>`));
    expect(serialize(recorded)).to.contain('<nvram template="/t">/now.fd</nvram>');
    keepVariables(recorded, await domain("", ' firmware="efi"'));
    expect(readVariables(recorded)).to.deep.equal({ at: "default", format: "raw" });
    const bios = await domain("");
    keepVariables(bios, recorded);
    expect(readVariables(bios)).to.equal(undefined);
  });

  it("is read back as it was put into a new definition", async () => {
    for (const kind of ["bios", "uefi", "uefi-secure"] as const) {
      const document = await domain("");
      putFirmware(document, kind, "/v.fd");
      expect(readFirmware(document)).to.equal(kind);
      expect(readVariables(document) !== undefined).to.equal(kind !== "bios");
    }
  });
});

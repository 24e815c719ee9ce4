import ssh2 from "ssh2";
import { conformance } from "../../lib/engine/conformance/index.ts";
import { readHeader } from "../../plugins/libvirt/qcow2/header.ts";
import { libvirtFixture } from "../support/libvirt/fixture.ts";
import { guestImage } from "../support/program.ts";

conformance(
  "libvirt",
  async () => {
    const { sha256, path } = await guestImage();
    const { virtualSize } = await readHeader(path);
    const keys = ssh2.utils.generateKeyPairSync("ed25519");
    const guest = {
      image: { path, format: "qcow2", sha256, virtualSize },
      timeout: 300_000,
      login: { username: "ubuntu", privateKey: keys.private, publicKey: keys.public },
    };
    // Chains so short that the random trees are full of keyframes.
    return { ...(await libvirtFixture({ "chain-length": "6" })), guest };
  },
  // The many are in libvirt-trees.test.ts.
  { runs: 3, steps: 30 },
);

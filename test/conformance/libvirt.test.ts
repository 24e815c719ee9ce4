import { conformance } from "../../lib/backend/conformance/index.ts";
import { libvirtFixture } from "../support/libvirt.ts";

// Chains so short that the random trees are full of keyframes.
conformance("libvirt", () => libvirtFixture({ "chain-length": "6" }), { runs: 300, steps: 30 });

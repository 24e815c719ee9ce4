import { conformance } from "../../lib/backend/conformance/index.ts";
import { libvirtFixture } from "../support/libvirt.ts";

conformance("libvirt", libvirtFixture, { runs: 300, steps: 30 });

import { conformance } from "../../lib/engine/conformance/index.ts";
import { lxdFixture } from "../support/lxd/fixture.ts";

conformance("lxd", lxdFixture, { runs: 3, steps: 30 });

import { conformance } from "../../lib/backend/conformance/index.ts";
import { lxdFixture } from "../support/lxd/fixture.ts";

conformance("lxd", lxdFixture, { runs: 3, steps: 30 });

import { conformance } from "../../lib/engine/conformance/index.ts";
import { lxdFixture } from "../support/lxd/fixture.ts";
import { testServer } from "../support/lxd/server.ts";

/** Of LXD; in `make test-debian13` of Incus. */
conformance(testServer.flavour.name, lxdFixture, { runs: 3, steps: 30 });

import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { openClient } from "../../../plugins/lxd/rest/client.ts";
import { socketEndpoint } from "../../../plugins/lxd/rest/endpoint.ts";

describe("an operation that takes longer than one look", () => {
  const operation = (status_code: number, status: string) => ({
    type: "sync",
    metadata: { id: "o", status, status_code, metadata: { x_progress: status } },
  });
  const late = { type: "error", error: "context deadline exceeded", error_code: 500, metadata: null };

  for (const [server, looks] of Object.entries({
    LXD: [operation(103, "Running"), operation(200, "Success")],
    Incus: [late, operation(200, "Success")],
  })) {
    it(`is waited for, as ${server} answers`, async () => {
      const folder = await mkdtemp(join(tmpdir(), "strata-client-"));
      const http = createServer(({ url = "" }, response) => {
        const answer = url.includes("/wait") ? looks.shift() : operation(103, "Running");
        response.end(
          JSON.stringify(
            answer ?? { type: "error", error: "asked too often", error_code: 400, metadata: null },
          ),
        );
      });
      try {
        const path = join(folder, "socket");
        await once(http.listen(path), "listening");
        await using client = openClient([socketEndpoint(path)], "");
        const phases: string[] = [];
        const ended = await client.wait("o", { progress: ({ phase }) => phases.push(phase) });
        expect([ended.status, phases]).to.deep.equal(["Success", ["Running"]]);
      } finally {
        http.closeAllConnections();
        http.close();
        await rm(folder, { recursive: true });
      }
    });
  }
});

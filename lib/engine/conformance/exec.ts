import { randomBytes } from "node:crypto";
import { rejectsWithAny, same } from "./assert.ts";
import { withInstance } from "./fixture.ts";
import { inGuest, type Kit } from "./kit.ts";

/** Commands in a guest: `true`, `false`, `echo`, `cat` and `pwd` are all that is asked of it. */
export function execTests(kit: Kit): void {
  inGuest(kit, "run with their arguments word by word", async ({ run }) => {
    const words = ["a b", "c'd", "$HOME", "*", "", "ü\n|", "-n"];
    const { code, stdout, stderr } = await run(["echo", "x", ...words]);
    same({ code, out: String(stdout), stderr }, { code: 0, out: `x ${words.join(" ")}\n`, stderr: "" });
  });

  inGuest(kit, "hand on their exit status: one that is not 0 is a result, not an error", async ({ run }) => {
    same((await run(["true"])).code, 0);
    same((await run(["false"])).code, 1);
  });

  inGuest(kit, "stream what goes in and what comes out, byte by byte", async ({ run }) => {
    const input = randomBytes(300_000);
    const { code, stdout } = await run(["cat"], { input });
    same(
      { code, equal: stdout.equals(input), length: stdout.length },
      { code: 0, equal: true, length: 300_000 },
    );
  });

  inGuest(kit, "keep what they complain about apart from what they put out", async ({ run }) => {
    const { code, stdout, stderr } = await run(["cat", "/no/such/file"]);
    same(
      { failed: code !== 0, out: String(stdout), complained: stderr !== "" },
      { failed: true, out: "", complained: true },
    );
  });

  inGuest(kit, "run in the folder that is asked for", async ({ run }) => {
    same(String((await run(["pwd"], { cwd: "/tmp" })).stdout), "/tmp\n");
  });

  inGuest(kit, "run side by side", async ({ run }) => {
    const ended = await Promise.all(["1", "2", "3", "4"].map((input) => run(["cat"], { input })));
    same(
      ended.map(({ stdout }) => String(stdout)),
      ["1", "2", "3", "4"],
    );
  });

  kit.it("are refused where nothing runs", async () => {
    const { engine } = kit.fixture();
    await withInstance(kit.fixture(), async ({ id }) => {
      if (engine.guest.via === "engine") {
        await rejectsWithAny(engine.guest.exec(id, ["true"], {}), ["GUEST_UNREACHABLE", "WRONG_STATE"]);
      } else {
        same(await engine.guest.endpoint(id), null);
      }
    });
  });
}

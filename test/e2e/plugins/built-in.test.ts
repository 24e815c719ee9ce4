import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { execa } from "execa";
import { makeHome } from "../../support/plugin.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

describe("an engine in the sources", () => {
  it("is built in once its folder is there, with no other file touched", async () => {
    await using home = await makeHome();
    const folder = await mkdtemp(join(tmpdir(), "strata-built-in-"));
    try {
      const parts = [
        "bin",
        "lib",
        "plugins",
        "scripts",
        "package.json",
        "tsconfig.json",
        "tsconfig.build.json",
      ];
      for (const part of parts) {
        await cp(join(ROOT, part), join(folder, part), { recursive: true });
      }
      await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
      await mkdir(join(folder, "plugins/extra"));
      await writeFile(
        join(folder, "plugins/extra/index.ts"),
        'import memory from "../memory/index.ts";\n\nexport default { ...memory, name: "extra" };\n',
      );
      await execa("npm", ["run", "--silent", "build"], { cwd: folder });
      const strata = async (...args: string[]) =>
        (await execa(process.execPath, [join(folder, "dist/bin/strata.js"), ...args], { env: home.env }))
          .stdout;
      expect(await strata("--driver", "extra", "launch", "debian", "--name", "web")).to.equal(
        "Launched: web",
      );
      await home.configure({ "local.driver": "extra" });
      expect(await strata("list")).to.match(/\nweb +Running/);
      expect(await strata("plugins", "--format", "csv")).to.match(/^extra,loaded,/m);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

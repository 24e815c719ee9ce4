// Bundles the command line into dist/bin: hundreds of small modules cost more to find than to run.
// `strata.js` starts the bundle with what V8 compiled of it in earlier runs (bin/code-cache.ts).
import { createHash } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";

const outdir = "dist/bin";
const options = {
  bundle: true,
  platform: "node",
  // V8's cache is of scripts. Modules that are imported at run time are started at their first use here too.
  format: "cjs",
  target: "node20.19",
  // Names in stack traces and errors stay as they are written.
  minifyWhitespace: true,
  minifySyntax: true,
  // Has a native part of its own to find.
  external: ["ssh2"],
  write: false,
  logLevel: "warning",
};

const main = await build({
  ...options,
  entryPoints: ["bin/main.ts"],
  define: { "import.meta.url": "bundleUrl" },
  // A function, as Node makes of each CommonJS module, for strata.js to call; see lib/backend/import-module.ts.
  banner: {
    js: '(function (exports, require, module, __filename, __dirname, bundleImport) {const bundleUrl = require("node:url").pathToFileURL(__filename).href;',
  },
  footer: { js: "})" },
});
const [{ text }] = main.outputFiles;
const name = `main-${createHash("sha256").update(text).digest("hex").slice(0, 16)}.js`;
const starter = await build({
  ...options,
  entryPoints: ["bin/strata.ts"],
  define: { BUNDLE: JSON.stringify(name) },
});

await rm(outdir, { recursive: true, force: true });
await mkdir(outdir, { recursive: true });
await writeFile(join(outdir, "package.json"), `${JSON.stringify({ type: "commonjs" })}\n`);
await writeFile(join(outdir, name), text);
await writeFile(join(outdir, "strata.js"), starter.outputFiles[0].text, { mode: 0o755 });

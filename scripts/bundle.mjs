// Bundles the command line into dist/bin: hundreds of small modules cost more to find than to run.
// What a command does not need stays in chunks of its own, loaded at first use.
import { rm } from "node:fs/promises";
import { build } from "esbuild";

const outdir = "dist/bin";
await rm(outdir, { recursive: true, force: true });
await build({
  entryPoints: ["bin/strata.ts"],
  outdir,
  bundle: true,
  splitting: true,
  platform: "node",
  format: "esm",
  target: "node20.19",
  // Names in stack traces and errors stay as they are written.
  minifyWhitespace: true,
  minifySyntax: true,
  keepNames: false,
  // Has a native part of its own to find.
  external: ["ssh2"],
  // CommonJS modules among the dependencies take these for granted. esbuild does not see the names given
  // here, so they must be none of ours.
  banner: {
    js: [
      'import { createRequire as bannerRequire } from "node:module";',
      'import { dirname as bannerDirname } from "node:path";',
      'import { fileURLToPath as bannerPath } from "node:url";',
      "const require = bannerRequire(import.meta.url);",
      "const __filename = bannerPath(import.meta.url);",
      "const __dirname = bannerDirname(__filename);",
    ].join("\n"),
  },
  logLevel: "warning",
});

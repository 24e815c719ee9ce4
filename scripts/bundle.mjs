// Bundles the command line into dist/bin: hundreds of small modules cost more to find than to run.
// `strata.js` starts the chunks of the bundle, each when it is first needed, with what V8 compiled of them
// in earlier runs (bin/code-cache.ts).
import { createHash } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { build, transform } from "esbuild";

const outdir = "dist/bin";
const options = {
  bundle: true,
  platform: "node",
  target: "node20.19",
  // Names in stack traces and errors stay as they are written.
  minifyWhitespace: true,
  minifySyntax: true,
  // One has a native part of its own to find, the other is a megabyte that few commands need.
  external: ["ssh2", "jq-wasm"],
  write: false,
  logLevel: "warning",
};
/** As Node makes of each CommonJS module, for strata.js to call; see lib/engine/import-module.ts. */
const head = "(function (exports, require, module, __filename, __dirname, bundleImport) {";
/** `import.meta.url`, which few commands read. */
const url = 'const bundle={get url(){return require("node:url").pathToFileURL(__filename).href}};';
/**
 * What a chunk imports is loaded at its first use: most commands use a small part of what their modules import. esbuild
 * writes each import as a variable whose properties are the exports, and reads them where they are used.
 */
const lazily = (code) =>
  code
    .replace(/\bvar (import_\w+)=(require\("[^"]+"\));/g, "var $1=require.later(()=>$2);")
    .replace(
      /\bvar (import_\w+)=(\(0,import_chunk_\w+\.__toESM\)\([^;=]+\(\),1\));/g,
      "var $1=require.later(()=>$2);",
    )
    // commander's, for commands that are programs of their own.
    .replace(/=(\(0,import_chunk_\w+\.__require\)\("node:child_process"\))/g, "=require.later(()=>$1)");

/** Parts of the engine that some commands need: chunks of their own, though they are imported at the start. */
const PARTS = ["node_modules/xmlbuilder/lib/index.js", "plugins/libvirt/xml/reader.ts"];

// What a command imports when it needs it is a chunk of its own; only modules of ECMAScript are split.
const { outputFiles } = await build({
  ...options,
  format: "esm",
  splitting: true,
  outdir,
  entryPoints: ["bin/main.ts", ...PARTS],
  entryNames: "[name]",
  chunkNames: "chunk-[hash]",
  define: { "import.meta.url": "bundle.url" },
});
const chunks = await Promise.all(
  outputFiles.map(async ({ path, text }) => {
    // V8's cache is of scripts, which cannot import: strata.js is asked for chunks as Node is for modules.
    const { code } = await transform(text, {
      format: "cjs",
      platform: "node",
      target: options.target,
      supported: { "dynamic-import": false },
      minifyWhitespace: true,
    });
    return [basename(path), `${head}${code.includes("bundle.url") ? url : ""}${lazily(code)}})`];
  }),
);
const hash = createHash("sha256");
for (const [name, text] of chunks.toSorted()) {
  hash.update(name).update(text);
}
const starter = await build({
  ...options,
  format: "cjs",
  entryPoints: ["bin/strata.ts"],
  define: { BUILD: JSON.stringify(hash.digest("hex").slice(0, 16)) },
});

await rm(outdir, { recursive: true, force: true });
await mkdir(outdir, { recursive: true });
await writeFile(join(outdir, "package.json"), `${JSON.stringify({ type: "commonjs" })}\n`);
for (const [name, text] of chunks) {
  await writeFile(join(outdir, name), text);
}
await writeFile(join(outdir, "strata.js"), starter.outputFiles[0].text, { mode: 0o755 });

// Writes the API reports in docs/api, a page for each module of the package, so that a change of its types
// shows in a review. With --check it only says whether they are what the code has.
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Extractor, ExtractorConfig, ExtractorLogLevel } from "@microsoft/api-extractor";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
/** Declarations as they are packed; inside the project, so that what they import is found. */
const TYPES = join(ROOT, ".api");
/** Where each member has to say what it means. */
const LIBRARY = /\blib\/(core\/api|images\/image-info|settings\/(aliases|folders))\b/;

const MODULES: Readonly<Record<string, string>> = {
  "strata-vm": "lib/index.d.ts",
  "strata-vm-engine": "lib/engine/contract.d.ts",
  "strata-vm-libvirt": "plugins/libvirt/rpc/index.d.ts",
};

/** True when the report is right; prints what is not. */
function report(name: string, entry: string, check: boolean): boolean {
  let right = true;
  const config = ExtractorConfig.prepare({
    configObjectFullPath: join(ROOT, "api-extractor.json"),
    packageJsonFullPath: join(ROOT, "package.json"),
    configObject: {
      projectFolder: ROOT,
      mainEntryPointFilePath: join(TYPES, entry),
      compiler: { tsconfigFilePath: join(ROOT, "tsconfig.build.json") },
      newlineKind: "lf",
      apiReport: {
        enabled: true,
        includeForgottenExports: true,
        reportFileName: `${name}.api.md`,
        reportFolder: join(ROOT, "docs/api"),
        reportTempFolder: join(TYPES, "reports"),
      },
      messages: {
        extractorMessageReporting: {
          default: { logLevel: ExtractorLogLevel.None },
          "ae-undocumented": { logLevel: ExtractorLogLevel.Warning },
        },
        tsdocMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
      },
    },
  });
  Extractor.invoke(config, {
    localBuild: !check,
    messageCallback(message) {
      message.handled = true;
      const { messageId, text, sourceFilePath = "", sourceFileLine = 0 } = message;
      const undocumented = messageId === "ae-undocumented" && LIBRARY.test(sourceFilePath);
      const stale = check && /^console-api-report-(not-copied|created|copied|unchanged)/.test(messageId);
      if (messageId === "console-api-report-unchanged" || !(undocumented || stale)) {
        return;
      }
      right = false;
      console.error(
        undocumented
          ? `${sourceFilePath}:${sourceFileLine}: ${text}`
          : `docs/api/${name}.api.md is not what the code has: make api`,
      );
    },
  });
  return right;
}

const check = process.argv.includes("--check");
rmSync(TYPES, { recursive: true, force: true });
try {
  mkdirSync(join(TYPES, "reports"), { recursive: true });
  mkdirSync(join(ROOT, "docs/api"), { recursive: true });
  const tsc = [
    "--no-install",
    "tsc",
    "-p",
    "tsconfig.build.json",
    "--emitDeclarationOnly",
    "--outDir",
    TYPES,
  ];
  execFileSync("npx", tsc, { cwd: ROOT, stdio: "inherit" });
  const right = Object.entries(MODULES).map(([name, entry]) => report(name, entry, check));
  if (right.includes(false)) {
    process.exitCode = 1;
  }
} finally {
  rmSync(TYPES, { recursive: true, force: true });
}

import { ERRORS, type ErrorCode } from "../../errors.ts";
import { ERROR_NOTES } from "./error-notes.ts";

/** States in which commands are refused; hints may depend on them. */
const STATES = ["Running", "Delayed Shutdown", "Stopped"];

/** docs/errors.md */
export function errorsPage(): string {
  const codes = Object.keys(ERRORS).sort() as ErrorCode[];
  return `# Errors

This page is generated from \`lib/errors/table.ts\` and \`lib/cli/reference/error-notes.ts\` by \`npm run docs\`; do not edit it.

Every failure has a stable code. The command line prints its message and hint to standard error and exits with its exit code; the library throws a \`StrataError\` with the code.
Scripts may rely on codes and exit codes. Messages and hints may change. Words in braces are filled in.
The [guide](guide.md#exit-codes) lists the codes by exit code.

${codes.map(section).join("\n")}`;
}

function section(code: ErrorCode): string {
  const { exit, message, retryable } = ERRORS[code];
  const { means, remedy } = ERROR_NOTES[code];
  const again = retryable === true ? "; the same command may succeed later" : "";
  const parts = [
    `## ${code}`,
    means,
    `Exit code ${exit}${again}.`,
    `\`\`\`\n${[message, ...hintsOf(code)].join("\n")}\n\`\`\``,
    remedy === undefined ? "" : `What to do: ${remedy}`,
  ];
  return `${parts.filter(Boolean).join("\n\n")}\n`;
}

/** Every hint that the error can have. */
export function hintsOf(code: ErrorCode): string[] {
  const { hint } = ERRORS[code];
  if (hint === undefined) {
    return [];
  }
  if (typeof hint === "string") {
    return [hint];
  }
  const known = "{known}";
  const all = [...STATES.map((state) => hint({ state, known })), hint({ known, installed: false })];
  return [...new Set(all)].filter((each) => each !== undefined);
}

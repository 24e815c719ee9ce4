import { EXIT } from "../../errors.ts";
import type { Page } from "./pages.ts";

/** The page for man(1), in its own language. */
export function man(pages: readonly Page[], version: string): string {
  const [program, ...commands] = pages;
  if (program === undefined) {
    return "";
  }
  return `${[
    `.TH STRATA 1 "" "strata ${text(version)}" "User Commands"`,
    ".SH NAME",
    `strata \\- ${text(program.summary)}`,
    ".SH SYNOPSIS",
    ".B strata",
    ".RI [ option ]...",
    ".I command",
    ".RI [ argument ]...",
    ".SH DESCRIPTION",
    "strata runs instances on libvirt. It can take and restore snapshots of stopped instances, and delete any",
    "snapshot anywhere in their tree.",
    ".SH OPTIONS",
    ...options(program),
    ".SH COMMANDS",
    text("Every command also accepts --help and --verbose."),
    ...commands.flatMap(section),
    ".SH EXIT STATUS",
    ".BR exec ' and ' shell",
    "exit with the status of the guest's command. All other commands exit with 0 for success, or with:",
    ...Object.entries(EXIT).flatMap(([name, code]) => [
      ".TP",
      `.B ${code}`,
      text(MEANINGS[name as keyof typeof EXIT]),
    ]),
    ".SH FILES",
    ...FILES.flatMap(([path, meaning]) => [".TP", `.I ${text(path)}`, text(meaning)]),
    ".SH SEE ALSO",
    ".BR virsh (1)",
  ].join("\n")}\n`;
}

const MEANINGS: Readonly<Record<keyof typeof EXIT, string>> = {
  failure: "failure",
  usage: "incorrect usage",
  notFound: "not found",
  exists: "already exists",
  state: "wrong state",
  busy: "busy",
  unavailable: "unavailable",
  denied: "denied",
  exhausted: "no space or port left",
  timeout: "timed out",
  unsupported: "not supported",
  integrity: "data cannot be trusted",
  output: "the output could not be written",
  cancelled: "cancelled",
};

const FILES = [
  ["~/.config/strata", "settings and aliases"],
  ["~/.local/share/strata", "ssh keys, and alias scripts in bin"],
  ["~/.cache/strata/images", "images"],
  ["~/.local/state/strata/strata.log", "the log"],
] as const;

function section({ usage, summary, arguments: given, options: list, examples }: Page): string[] {
  return [
    `.SS ${text(usage.replace(/^strata /, ""))}`,
    `${text(`${summary[0]?.toUpperCase() ?? ""}${summary.slice(1)}`)}.`,
    ...given.flatMap(({ term, description }) => [".TP", `.I ${text(term)}`, text(description)]),
    ...options({ options: list }),
    ".PP",
    ".nf",
    ...examples.map((example) => `\\& $ strata ${text(example)}`),
    ".fi",
  ];
}

function options({ options: list }: Pick<Page, "options">): string[] {
  return list.flatMap(({ flags, description }) => [".TP", `.B ${text(flags)}`, text(description)]);
}

/** Text that troff shows as it is. */
function text(plain: string): string {
  const escaped = plain
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll("'", "\\(aq")
    .replaceAll("`", "\\(ga")
    .replaceAll("~", "\\(ti")
    .replaceAll("^", "\\(ha")
    .replaceAll('"', "\\(dq");
  return escaped.startsWith(".") ? `\\&${escaped}` : escaped;
}

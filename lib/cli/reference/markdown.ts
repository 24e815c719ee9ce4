import type { Page } from "./pages.ts";

/** docs/commands.md */
export function markdown(pages: readonly Page[]): string {
  const [program, ...commands] = pages;
  const rows = commands.map(
    ({ name, summary }) => `| [\`${name}\`](#strata-${name.replaceAll(" ", "-")}) | ${cell(summary)} |`,
  );
  return `# Commands

This page is made from the command tree by \`npm run docs\`; do not edit it.
How the commands work together is in the [guide](guide.md).

| command | what it does |
| --- | --- |
${rows.join("\n")}

Every command takes \`--help\` and \`--verbose\`. Before the command:

${program === undefined ? "" : optionList(program)}
${commands.map(section).join("\n")}`;
}

function section(page: Page): string {
  const { name, aliases, usage, summary, examples } = page;
  const short = aliases.length === 0 ? "" : ` Short: ${aliases.map((each) => `\`${each}\``).join(", ")}.`;
  const parts = [
    `## strata ${name}`,
    `${summary[0]?.toUpperCase() ?? ""}${summary.slice(1)}.${short}`,
    `\`\`\`\n${usage}\n\`\`\``,
    optionList(page).trimEnd(),
    `${examples.length > 1 ? "Examples" : "Example"}:`,
    `\`\`\`\n${examples.map((example) => `$ strata ${example}`).join("\n")}\n\`\`\``,
  ];
  return `${parts.filter(Boolean).join("\n\n")}\n`;
}

function optionList({ options }: Page): string {
  return options.map(({ flags, description }) => `- \`${flags}\`: ${description}\n`).join("");
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

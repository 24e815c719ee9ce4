import type { Page } from "./pages.ts";

/** docs/commands.md */
export function markdown(pages: readonly Page[]): string {
  const [program, ...commands] = pages;
  const groups = [...new Set(commands.map(({ group }) => group))].filter(Boolean);
  return `# Commands

This page is generated from the command tree by \`npm run docs\`; do not edit it.
The [guide](guide.md) shows how the commands work together.

${groups.map((group) => table(group, commands)).join("\n")}
Every command accepts \`--help\` and \`--verbose\`. Options before the command:

${program === undefined ? "" : optionList(program)}
${commands.map(section).join("\n")}`;
}

/** The commands of one heading of the help, each followed by the commands within it. */
function table(group: string, commands: readonly Page[]): string {
  const names = new Set(commands.filter((page) => page.group === group).map(({ name }) => name));
  const rows = commands
    .filter(({ name }) => names.has(name.split(" ")[0] ?? ""))
    .map(({ name, summary }) => `| [\`${name}\`](#strata-${name.replaceAll(" ", "-")}) | ${cell(summary)} |`);
  return `**${group}**\n\n| command | what it does |\n| --- | --- |\n${rows.join("\n")}\n`;
}

function section(page: Page): string {
  const { name, aliases, usage, summary, examples } = page;
  const short = aliases.length === 0 ? "" : ` Also: ${aliases.map((each) => `\`${each}\``).join(", ")}.`;
  const parts = [
    `## strata ${name}`,
    `${summary[0]?.toUpperCase() ?? ""}${summary.slice(1)}.${short}`,
    `\`\`\`\n${usage}\n\`\`\``,
    argumentList(page).trimEnd(),
    optionList(page).trimEnd(),
    `${examples.length > 1 ? "Examples" : "Example"}:`,
    `\`\`\`\n${examples.map((example) => `$ strata ${example}`).join("\n")}\n\`\`\``,
  ];
  return `${parts.filter(Boolean).join("\n\n")}\n`;
}

function argumentList({ arguments: list }: Page): string {
  return list.map(({ term, description }) => `- \`${term}\`: ${description}\n`).join("");
}

function optionList({ options }: Page): string {
  return options.map(({ flags, description }) => `- \`${flags}\`: ${description}\n`).join("");
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

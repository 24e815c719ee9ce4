/**
 * Draws docs/pictures/terminal.svg: what a terminal shows of a real run. Needs a libvirt host with the image
 * debian-micro; launches an instance, branches its snapshots, and removes it again.
 *
 *     make pictures
 */
import { writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import headless from "@xterm/headless";
import { execa } from "execa";
import { create } from "xmlbuilder";

const FILE = "docs/pictures/terminal.svg";
const COLUMNS = 92;
const NAME = "web";

/** As they are typed; what prepares the next picture without being part of it has no prompt. */
const STEPS: readonly { readonly words: string; readonly hidden?: true }[] = [
  { words: `launch debian-micro --name ${NAME}` },
  { words: `exec ${NAME} -- sh -c "echo first > note; sync"`, hidden: true },
  { words: `stop ${NAME}`, hidden: true },
  { words: `snapshot ${NAME} --name clean --comment "as launched"` },
  { words: `start ${NAME}`, hidden: true },
  {
    words: `exec ${NAME} -- sh -c "echo second > note; sync; dd if=/dev/zero of=data bs=1M count=3"`,
    hidden: true,
  },
  { words: `stop ${NAME}`, hidden: true },
  { words: `snapshot ${NAME} --name upgraded` },
  { words: `restore --destructive ${NAME}.clean` },
  { words: `start ${NAME}`, hidden: true },
  { words: `exec ${NAME} -- cat note` },
  { words: `stop ${NAME}`, hidden: true },
  { words: `snapshot ${NAME} --name experiment` },
  { words: `list --snapshots --tree ${NAME}` },
];

const FONT = { size: 14, width: 8.43, height: 19 };
const MARGIN = 16;
const BAR = 28;
const COLOURS = {
  background: "#1e1e2e",
  text: "#cdd6f4",
  prompt: "#89b4fa",
  palette: ["#45475a", "#f38ba8", "#a6e3a1", "#f9e2af", "#89b4fa", "#f5c2e7", "#94e2d5", "#bac2de"],
} as const;

interface Span {
  readonly text: string;
  readonly colour: string;
  readonly bold: boolean;
}

/** What the program writes on a terminal of its own, colours and all. */
async function run(words: string): Promise<string> {
  const command = `stty cols ${COLUMNS} rows 50; node dist/bin/strata.js ${words}`;
  const { stdout } = await execa("script", ["--quiet", "--return", "--command", command, "/dev/null"], {
    env: { TERM: "xterm-256color" },
    stdin: "pipe",
    stripFinalNewline: false,
  });
  return stdout;
}

/** The lines of the screen after all that was written to it. */
async function screen(written: string): Promise<Span[][]> {
  const terminal = new headless.Terminal({ cols: COLUMNS, rows: 200, allowProposedApi: true });
  const write: (text: string) => Promise<void> = promisify((text: string, done: () => void) =>
    terminal.write(text, done),
  );
  await write(written);
  const buffer = terminal.buffer.active;
  const lines: Span[][] = [];
  for (let row = 0; row < buffer.length; row += 1) {
    const line = buffer.getLine(row);
    const cells = Array.from({ length: COLUMNS }, (_, column) => line?.getCell(column));
    lines.push(
      cells.map((cell) => ({
        text: cell?.getChars() || " ",
        colour: cell?.isFgPalette() ? (COLOURS.palette[cell.getFgColor() % 8] ?? COLOURS.text) : COLOURS.text,
        bold: Boolean(cell?.isBold()),
      })),
    );
  }
  const last = lines.findLastIndex((line) => line.some(({ text }) => text !== " "));
  return lines.slice(0, last + 1).map(joined);
}

/** Neighbours that look alike as one, without what trails. */
function joined(cells: readonly Span[]): Span[] {
  const spans: Span[] = [];
  for (const cell of cells) {
    const before = spans.at(-1);
    if (before !== undefined && before.colour === cell.colour && before.bold === cell.bold) {
      spans[spans.length - 1] = { ...before, text: before.text + cell.text };
    } else {
      spans.push(cell);
    }
  }
  const end = spans.at(-1);
  return end === undefined ? [] : [...spans.slice(0, -1), { ...end, text: end.text.trimEnd() }];
}

function draw(lines: readonly (readonly Span[])[]): string {
  const width = Math.ceil(COLUMNS * FONT.width + 2 * MARGIN);
  const height = lines.length * FONT.height + 2 * MARGIN + BAR;
  const svg = create("svg")
    .att({ xmlns: "http://www.w3.org/2000/svg", viewBox: `0 0 ${width} ${height}`, width, height })
    .att("font-family", "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace")
    .att("font-size", FONT.size);
  svg
    .ele("title")
    .txt("A terminal: strata launches a guest, takes snapshots, restores one, and draws the tree");
  svg.ele("rect", { width, height, rx: 8, fill: COLOURS.background });
  for (const [at, fill] of ["#f38ba8", "#f9e2af", "#a6e3a1"].entries()) {
    svg.ele("circle", { cx: MARGIN + 6 + at * 20, cy: 18, r: 6, fill });
  }
  for (const [row, spans] of lines.entries()) {
    const text = svg.ele("text", {
      x: MARGIN,
      y: BAR + MARGIN + (row + 0.75) * FONT.height,
      "xml:space": "preserve",
    });
    for (const { text: part, colour, bold } of spans) {
      text.ele("tspan", { fill: colour, ...(bold ? { "font-weight": "bold" } : {}) }).txt(part);
    }
  }
  return `${svg.end({ pretty: false })}\n`;
}

let shown = "";
try {
  for (const { words, hidden } of STEPS) {
    const written = await run(words);
    if (hidden !== true) {
      shown += `\u001b[34m$\u001b[39m \u001b[1mstrata ${words}\u001b[22m\r\n${written}`;
    }
  }
} finally {
  await execa("node", ["dist/bin/strata.js", "delete", "--purge", NAME], { reject: false });
}
await writeFile(FILE, draw(await screen(shown)));

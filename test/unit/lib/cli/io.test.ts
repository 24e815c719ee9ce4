import { PassThrough } from "node:stream";
import { expect } from "chai";
import { ask, confirm, type Io } from "../../../../lib/cli/io.ts";
import { isStrataError } from "../../../../lib/errors.ts";

function terminal(): { io: Io; type(text: string): void; end(): void; shown(): string } {
  const stdin = Object.assign(new PassThrough(), { isTTY: true });
  const stdout = Object.assign(new PassThrough(), { isTTY: true });
  const io = { stdin, stdout, stderr: new PassThrough(), env: {} };
  return {
    io,
    type: (text) => stdin.write(text),
    end: () => stdin.end(),
    shown: () => String(stdout.read() ?? ""),
  };
}

async function codeOf(work: Promise<unknown>): Promise<unknown> {
  return work.catch((error: unknown) => (isStrataError(error) ? error.code : error));
}

describe("a question at the terminal", () => {
  it("takes yes and no in any case and cut short, and Enter as the default", async () => {
    for (const [typed, expected] of [
      ["y\r", true],
      ["YES\r", true],
      ["n\r", false],
      ["No\r", false],
      ["\r", true],
    ] as const) {
      const { io, type } = terminal();
      const answer = confirm(io, "Sure? (Yes/no)", true);
      type(typed);
      expect(await answer, typed).to.equal(expected);
    }
  });

  it("is asked again after an answer that is neither", async () => {
    const { io, type, shown } = terminal();
    const answer = confirm(io, "Sure?", true);
    type("perhaps\r");
    type("no\r");
    expect(await answer).to.equal(false);
    expect(shown().match(/Sure\?/g)?.length).to.be.greaterThan(1);
  });

  it("is cancelled, never answered, by Ctrl-C, Ctrl-D and the end of input", async () => {
    for (const leave of ["\x03", "\x04", ""]) {
      for (const question of [(io: Io) => confirm(io, "Sure?", true), (io: Io) => ask(io, "Value?")]) {
        const { io, type, end } = terminal();
        const answer = codeOf(question(io));
        if (leave === "") end();
        else type(leave);
        expect(await answer).to.equal("CANCELLED");
      }
    }
  });
});

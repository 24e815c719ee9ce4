import { PassThrough } from "node:stream";
import { expect } from "chai";
import { ask, confirm } from "../../../../lib/cli/io.ts";
import { isStrataError } from "../../../../lib/errors.ts";

type Asker = Parameters<typeof ask>[0];

function terminal() {
  const abort = new AbortController();
  const stdin = Object.assign(new PassThrough(), { isTTY: true });
  const stdout = Object.assign(new PassThrough(), { isTTY: true });
  const io = { stdin, stdout, stderr: new PassThrough(), env: {} };
  return {
    asker: { io, call: { signal: abort.signal } },
    type: (text: string) => stdin.write(text),
    end: () => stdin.end(),
    abort: () => abort.abort(),
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
      const { asker, type } = terminal();
      const answer = confirm(asker, "Sure? (Yes/no)", true);
      type(typed);
      expect(await answer, typed).to.equal(expected);
    }
  });

  it("is asked again after an answer that is neither", async () => {
    const { asker, type, shown } = terminal();
    const answer = confirm(asker, "Sure?", true);
    type("perhaps\r");
    type("no\r");
    expect(await answer).to.equal(false);
    expect(shown().match(/Sure\?/g)?.length).to.be.greaterThan(1);
  });

  const questions = [(asker: Asker) => confirm(asker, "Sure?", true), (asker: Asker) => ask(asker, "Value?")];

  it("is cancelled, never answered, by Ctrl-C, Ctrl-D, the end of input and a signal", async () => {
    for (const leave of ["\x03", "\x04", "end", "abort"] as const) {
      for (const question of questions) {
        const { asker, type, end, abort } = terminal();
        const answer = codeOf(question(asker));
        if (leave === "end") {
          end();
        } else if (leave === "abort") {
          abort();
        } else {
          type(leave);
        }
        expect(await answer).to.equal("CANCELLED");
      }
    }
  });

  it("is not asked any more after a signal", async () => {
    for (const question of questions) {
      const { asker, abort, shown } = terminal();
      abort();
      expect(await codeOf(question(asker))).to.equal("CANCELLED");
      expect(shown()).to.equal("");
    }
  });
});

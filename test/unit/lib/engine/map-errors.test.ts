import { expect } from "chai";
import { mapErrors } from "../../../../lib/engine/map-errors.ts";

/** What a callback fails with, as the net says it; "nothing" where it does not fail. */
async function failureOf(work: () => unknown): Promise<string> {
  try {
    await work();
    return "nothing";
  } catch (error) {
    return error instanceof Error ? error.message : `unmapped: ${error}`;
  }
}

const net = <Group extends object>(group: Group) =>
  mapErrors(group, (error, subject) => new Error(`${subject}: ${error}`));

describe("the net around a group of an engine's calls", () => {
  const lock = { instance: { name: "web" }, async [Symbol.asyncDispose]() {} };

  it("maps what is thrown at once and what is rejected later, and leaves answers alone", async () => {
    const group = net({
      at: (_: typeof lock) => {
        throw "gone";
      },
      later: (_: typeof lock) => Promise.reject("gone"),
      well: async (value: object) => value,
    });
    expect(await failureOf(() => group.at(lock))).to.equal("web: gone");
    expect(await failureOf(() => group.later(lock))).to.equal("web: gone");
    const answer = { id: "1" };
    expect(await group.well(answer)).to.equal(answer);
  });

  it("knows what a call is about from its first argument: lock, name, specification, finding", async () => {
    const group = net({ call: (_first?: unknown) => Promise.reject("gone") });
    const about: readonly [unknown, string][] = [
      [lock, "web"],
      ["db", "db"],
      [{ name: "cache" }, "cache"],
      [{ kind: "layer-missing", instance: "mail", subject: "/a" }, "mail"],
      [{ kind: "domain-lost", subject: "/a" }, "undefined"],
      [undefined, "undefined"],
      [null, "undefined"],
    ];
    for (const [first, subject] of about) {
      expect(await failureOf(() => group.call(first))).to.equal(`${subject}: gone`);
    }
  });

  it("maps what ends a stream, after what came before it", async () => {
    let closed = false;
    const group = net({
      async *events() {
        try {
          yield 1;
          throw "the socket is gone";
        } finally {
          closed = true;
        }
      },
    });
    const heard: number[] = [];
    const listen = async () => {
      for await (const event of group.events()) {
        heard.push(event);
      }
    };
    expect(await failureOf(listen)).to.equal("undefined: the socket is gone");
    expect(heard).to.deep.equal([1]);
    closed = false;
    for await (const _ of group.events()) {
      break;
    }
    expect(closed).to.equal(true);
  });

  it("maps a promise among the members, which nobody need wait for", async () => {
    const { exit, via } = net({ exit: Promise.reject("no such pid"), via: "engine" });
    expect(via).to.equal("engine");
    await new Promise((resolve) => setImmediate(resolve));
    expect(await failureOf(() => exit)).to.equal("undefined: no such pid");
  });

  it("keeps members with symbols for names, and a group's own state", async () => {
    const group = net({
      count: 0,
      async add() {
        this.count += 1;
        return this.count;
      },
      [Symbol.asyncDispose]: () => Promise.reject("still busy"),
    });
    await group.add();
    expect(await group.add()).to.equal(2);
    expect(await failureOf(() => group[Symbol.asyncDispose]())).to.equal("undefined: still busy");
  });
});

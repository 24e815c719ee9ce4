import { expect } from "chai";
import { logConsole, readConsoleLog, unlogConsole } from "../../../../../plugins/libvirt/xml/console.ts";
import { type Element, parse, serialize } from "../../../../../plugins/libvirt/xml/document.ts";

const domain = (devices: string): Promise<Element> => parse(`<domain><devices>${devices}</devices></domain>`);

describe("the serial console in a definition", () => {
  it("gets a log once, on the first serial port", async () => {
    const document = await domain('<serial type="pty"/><serial type="pty"/><console type="pty"/>');
    expect(logConsole(document, "/a&b/console.log")).to.equal(true);
    expect(readConsoleLog(document)).to.equal("/a&b/console.log");
    expect(serialize(document)).to.contain(
      '<serial type="pty"><log file="/a&amp;b/console.log" append="on"/></serial><serial type="pty"/>',
    );
    expect(logConsole(document, "/other")).to.equal(false);
    expect(readConsoleLog(document)).to.equal("/a&b/console.log");
  });

  it("is left alone where a console has a log of its owner's, or there is no serial port", async () => {
    const theirs = await domain('<serial type="pty"/><console type="pty"><log file="/theirs"/></console>');
    expect(logConsole(theirs, "/ours")).to.equal(false);
    expect(readConsoleLog(theirs)).to.equal("/theirs");
    expect(logConsole(await domain('<console type="pty"/>'), "/ours")).to.equal(false);
  });

  it("loses its log, and nothing else", async () => {
    const document = await domain(
      '<serial type="pty"><log file="/l"/><target port="0"/></serial><console type="pty"><log file="/l"/></console>',
    );
    unlogConsole(document);
    expect(serialize(document)).to.equal(
      '<domain><devices><serial type="pty"><target port="0"/></serial><console type="pty"/></devices></domain>',
    );
  });
});

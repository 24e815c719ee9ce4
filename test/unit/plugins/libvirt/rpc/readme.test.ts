import { readFileSync } from "node:fs";
import { expect } from "chai";
import * as binding from "../../../../../plugins/libvirt/rpc/index.ts";
import { procedures } from "../../../../../plugins/libvirt/rpc/procedures/index.ts";
import { readExtract, VERSIONS } from "../../../../../scripts/binding/extract.ts";
import { CLASSES, methodsOf } from "./attempts.ts";

const README = readFileSync(new URL("../../../../../plugins/libvirt/rpc/README.md", import.meta.url), "utf8");

/** Methods that C has nothing like, or that the README describes elsewhere. */
const OWN = ["call", "domainOfUuid", "limitsOf", "open", "recover", "reopen", "sibling"];
const SELF = ["snapshotOfName", "checkpointOfName"];

/** Rows of the table below a heading: the C names of the first column, and the second column. */
function rows(heading: string): { names: string[]; second: string }[] {
  const [, section = ""] = README.split(`\n### ${heading}\n`);
  const [table = ""] = section.split(/\n##/);
  return [...table.matchAll(/^\| (`vir.*?) +\| (.*?) +\|$/gm)].map(([, first = "", second = ""]) => ({
    names: [...first.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name),
    second,
  }));
}

const withMethod = rows("With a method");
const byCall = rows("By `connection.call`");
const absent = rows("Not there");
const exact = [...withMethod, ...byCall].flatMap(({ names }) => names);
const patterns = absent.flatMap(({ names }) => names);
const functions = [...new Set(VERSIONS.flatMap((version) => readExtract(version).functions))];

function matches(name: string, pattern: string): boolean {
  return new RegExp(`^${pattern.replaceAll("*", "\\w*")}$`).test(name);
}

describe("the README's tables of C names", () => {
  it("have every public function of libvirt, and no other", () => {
    const left = functions.filter((name) => !exact.includes(name));
    expect(left.filter((name) => !patterns.some((pattern) => matches(name, pattern)))).to.deep.equal([]);
    expect(exact.filter((name) => !functions.includes(name))).to.deep.equal([]);
    expect(patterns.filter((pattern) => !left.some((name) => matches(name, pattern)))).to.deep.equal([]);
    expect(new Set(exact).size).to.equal(exact.length);
  });

  it("name methods and properties that are there, and all methods", () => {
    const named = withMethod.map(
      ({ second }) => /^`(\w+)(?:\.(\w+))?(?:\(\))?`$/.exec(second)?.slice(1) ?? [],
    );
    for (const { type, noun } of CLASSES) {
      const of = named.flatMap(([object, member = ""]) => (object === noun ? [member] : []));
      const methods = methodsOf(type.prototype).filter((name) => ![...OWN, ...SELF].includes(name));
      expect(of, noun).to.include.members(methods);
      for (const member of of) {
        expect(`${noun}.${member}`).to.satisfy(() => isMember(type, member));
      }
    }
    const nouns = CLASSES.map(({ noun }) => noun);
    for (const [object = "", member] of named) {
      if (member === undefined) {
        expect(binding).to.have.property(object);
      } else {
        expect(nouns).to.include(object);
      }
    }
  });

  it("name procedures that can be called", () => {
    for (const { second } of byCall) {
      expect(procedures).to.have.property(second.replaceAll("`", ""));
    }
  });
});

/** Methods and getters are of the prototype; the fields are few. */
function isMember(type: { readonly prototype: object }, name: string): boolean {
  return name in type.prototype || ["connection", "domain", "name"].includes(name);
}

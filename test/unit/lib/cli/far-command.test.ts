import { expect } from "chai";
import { farCommandOf } from "../../../../lib/cli/far-command.ts";

const of = (line: string, env: NodeJS.ProcessEnv = {}) => farCommandOf(line.split(" "), env);

describe("a command line for another host", () => {
  it("is what follows --host, with the options beside it", () => {
    expect(of("--host box list")).to.deep.equal({ host: "box", words: ["list"], command: "list" });
    expect(of("-v --host=ssh://a@b --driver memory --no-color info web")).to.deep.equal({
      host: "ssh://a@b",
      words: ["-v", "--driver", "memory", "--no-color", "info", "web"],
      command: "info",
    });
  });

  it("leaves alone what belongs to the command", () => {
    expect(of("inventory --host web")).to.equal(undefined);
    expect(of("--host box exec web -- curl --host x")).to.deep.include({
      words: ["exec", "web", "--", "curl", "--host", "x"],
    });
  });

  it("is any where STRATA_HOST names one, unless --host names another or this host", () => {
    expect(of("list", { STRATA_HOST: "box" })).to.include({ host: "box" });
    expect(of("--host lab list", { STRATA_HOST: "box" })).to.include({ host: "lab" });
    expect(of("--host local list", { STRATA_HOST: "box" })).to.equal(undefined);
    expect(of("list", { STRATA_HOST: "" })).to.equal(undefined);
  });

  it("is none of those that are about strata here, and none that is not whole", () => {
    for (const line of ["context list", "help list", "completion bash", "--help", "--host"]) {
      expect(of(line, { STRATA_HOST: "box" }), line).to.equal(undefined);
    }
    expect(of("--version", { STRATA_HOST: "box" })).to.include({ host: "box" });
  });
});

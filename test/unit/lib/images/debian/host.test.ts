import { expect } from "chai";
import { isStrataError } from "../../../../../lib/errors.ts";
import { chooseRelease, parseRelease, sourcesFor } from "../../../../../lib/images/debian/host.ts";

describe("the host's release", () => {
  it("is what os-release says", () => {
    const text = 'NAME="Debian GNU/Linux"\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nID=debian\n';
    expect(parseRelease(text)).to.deep.equal({ suite: "bookworm", release: "12" });
  });

  it("has the codename for a number where there is none yet", () => {
    expect(parseRelease("ID=debian\nVERSION_CODENAME=forky\n")).to.deep.equal({
      suite: "forky",
      release: "forky",
    });
  });

  it("is refused where it is not Debian's or has no name", () => {
    for (const text of ["ID=ubuntu\nVERSION_CODENAME=noble\nID_LIKE=debian\n", "ID=debian\n", ""]) {
      let code = "accepted";
      try {
        parseRelease(text);
      } catch (error) {
        if (isStrataError(error)) {
          code = error.code;
        }
      }
      expect(code).to.equal("UNSUPPORTED");
    }
  });
});

describe("another release than the host's", () => {
  const host = { suite: "bookworm", release: "12" };

  it("is chosen by codename or number, and refused where nobody has tried it", () => {
    for (const name of ["trixie", "Trixie", "13"]) {
      expect(chooseRelease(name, host)).to.deep.equal({ suite: "trixie", release: "13" });
    }
    expect(chooseRelease("forky", { suite: "forky", release: "forky" }).suite).to.equal("forky");
    expect(() => chooseRelease("sid", host)).to.throw("must be bookworm (12) or trixie (13)");
  });

  it("comes from the host's mirror, with its updates and security", () => {
    const sources = [
      "# of bookworm",
      "Types: deb",
      "URIs: http://mirror.example/bookworm/debian",
      "Suites: bookworm bookworm-updates",
      "Signed-By: /usr/share/keyrings/bookworm.gpg",
      "deb [signed-by=/k.gpg] http://mirror.example/bookworm bookworm-security main",
    ];
    expect(sourcesFor(sources.join("\n"), "bookworm", "trixie").split("\n")).to.deep.equal([
      ...sources.slice(0, 3),
      "Suites: trixie trixie-updates",
      ...sources.slice(4, 5),
      "deb [signed-by=/k.gpg] http://mirror.example/bookworm trixie-security main",
    ]);
  });
});

import { expect } from "chai";
import { isStrataError } from "../../../../../lib/errors.ts";
import { parseRelease } from "../../../../../lib/images/debian/host.ts";

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

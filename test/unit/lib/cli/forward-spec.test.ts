import { expect } from "chai";
import { parseForward } from "../../../../lib/cli/forward-spec.ts";
import { asStrataError } from "../../../../lib/errors.ts";

describe("ports to forward", () => {
  it("are one port, two, or an address before them", () => {
    const local = { address: "127.0.0.1" };
    expect(parseForward("80")).to.deep.equal({ ...local, port: 80, to: 80 });
    expect(parseForward("8080:80")).to.deep.equal({ ...local, port: 8080, to: 80 });
    expect(parseForward("0:80")).to.deep.equal({ ...local, port: 0, to: 80 });
    expect(parseForward("0.0.0.0:8080:80")).to.deep.equal({ address: "0.0.0.0", port: 8080, to: 80 });
    expect(parseForward("[::1]:8080:80")).to.deep.equal({ address: "::1", port: 8080, to: 80 });
  });

  it("are refused where a part is missing or none", () => {
    for (const text of ["", ":80", "80:", "127.0.0.1:80", "[::1]:80", "::1:80:80", "a:b", "8080:80/tcp"]) {
      expect(() => parseForward(text), text)
        .to.throw()
        .that.satisfies((error: unknown) => {
          return asStrataError(error).code === "INVALID_VALUE";
        });
    }
  });
});

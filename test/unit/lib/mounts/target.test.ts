import { expect } from "chai";
import fc from "fast-check";
import { isStrataError } from "../../../../lib/errors.ts";
import { resolveTarget } from "../../../../lib/mounts/target.ts";

function refused(target: string | undefined, source = "/src/a", username = "ubuntu"): string {
  try {
    return `taken as ${resolveTarget(target, source, username)}`;
  } catch (error) {
    if (!isStrataError(error)) {
      throw error;
    }
    return error.code;
  }
}

describe("the target of a mount", () => {
  it("is by default the name of the source's folder in the user's home", () => {
    expect(resolveTarget(undefined, "/home/me/src", "ubuntu")).to.equal("/home/ubuntu/src");
    expect(resolveTarget(undefined, "/home/me/src///", "root")).to.equal("/root/src");
    expect(resolveTarget(undefined, "/home/me/src/..", "ubuntu")).to.equal("/home/ubuntu/me");
  });

  it("is one path however it is spelled", () => {
    const spellings = [
      "data",
      "./data",
      "data/",
      "~/data",
      "/home/ubuntu/data",
      "//home//ubuntu/x/../data/.",
    ];
    for (const each of spellings) {
      expect(resolveTarget(each, "/src", "ubuntu"), each).to.equal("/home/ubuntu/data");
    }
    expect(resolveTarget("~other/data", "/src", "ubuntu")).to.equal("/home/ubuntu/~other/data");
  });

  it("hides neither the guest's kernel nor what the guest lives on", () => {
    const bad = [
      ...[
        "/",
        "//",
        "/dev",
        "/proc/self",
        "/sys/../sys/fs",
        "/run/x",
        "/etc",
        "/usr/",
        "/home",
        "/home/ubuntu",
      ],
      ...[
        "~",
        ".",
        "..",
        "../..",
        "../../proc",
        "x/../../../etc",
        "",
        "a\nb",
        "a\0b",
        `/${"x".repeat(4096)}`,
      ],
    ];
    for (const each of bad) {
      expect(refused(each), each).to.equal("INVALID_VALUE");
    }
    expect(refused(undefined, "/")).to.equal("INVALID_VALUE");
    for (const each of ["/etc/app", "/usr/local/src", "/process", "/mnt", "/srv/a b"]) {
      expect(refused(each), each).to.equal(`taken as ${each}`);
    }
  });

  it("has to be absolute where nobody knows the user", () => {
    expect(refused("data", "/src", "")).to.equal("INVALID_VALUE");
    expect(refused(undefined, "/src", "")).to.equal("INVALID_VALUE");
    expect(refused("/data", "/src", "")).to.equal("taken as /data");
  });

  it("never leads out of what is allowed, whatever is given", () => {
    const part = fc.constantFrom("..", ".", "", "~", "a", "dev", "proc", "home", "ubuntu", "etc");
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), fc.boolean(), (parts, absolute) => {
        const outcome = refused(`${absolute ? "/" : ""}${parts.join("/")}`);
        if (outcome === "INVALID_VALUE") {
          return;
        }
        expect(outcome).to.match(/^taken as (\/[^/]+)+$/);
        expect(outcome).not.to.match(/\/\.\.?(\/|$)|as \/(dev|proc|sys|run)(\/|$)/);
        expect(outcome).not.to.match(/as (\/etc|\/home|\/home\/ubuntu)$/);
      }),
    );
  });
});

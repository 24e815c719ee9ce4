import { expect } from "chai";
import { asStrataError } from "../../../../lib/errors.ts";
import { checkUserData } from "../../../../lib/guest/user-data.ts";

async function refusal(userData: string): Promise<string> {
  return checkUserData(userData).then(
    () => "taken",
    (error: unknown) => asStrataError(error).message,
  );
}

/** MIME as `cloud-init devel make-mime` makes it. */
function mime(...parts: readonly [type: string, text: string, encoding?: "base64" | "7bit"][]): string {
  const texts = parts.map(([type, text, encoding = "base64"], at) =>
    [
      `Content-Type: ${type}; charset="utf-8"`,
      `Content-Transfer-Encoding: ${encoding}`,
      `Content-Disposition: attachment; filename="part-${at}.txt"`,
      "",
      encoding === "base64" ? Buffer.from(text).toString("base64") : text,
    ].join("\n"),
  );
  const head = 'Content-Type: multipart/mixed; boundary="===of it==="\nMIME-Version: 1.0\n\n';
  return `${head}${texts.map((text) => `--===of it===\n${text}\n`).join("")}--===of it===--\n`;
}

describe("user-data", () => {
  const config = "packages: [jq]\n";
  const broken = "users: [unclosed\n";

  it("in MIME is taken with a script, a config and anything else that cloud-init knows", async () => {
    for (const encoding of ["base64", "7bit"] as const) {
      const parts = [
        ["text/x-shellscript", "#!/bin/sh\n: [", encoding],
        ["text/cloud-config", `#cloud-config\n${config}`, encoding],
        ["text/cloud-config", config, encoding],
        ["text/jinja2", `## template: jinja\n#cloud-config\n{% if [ %}`, encoding],
      ] as const;
      expect(
        await refusal(mime(...parts.map((part) => [...part] as [string, string, typeof encoding]))),
      ).to.equal("taken");
    }
  });

  it("in MIME is refused for a config that is no YAML, whichever part, and it is named", async () => {
    for (const encoding of ["base64", "7bit"] as const) {
      const script: [string, string] = ["text/x-shellscript", "#!/bin/sh\n"];
      expect(await refusal(mime(script, ["text/cloud-config", broken, encoding]))).to.match(
        /"the part part-1.txt" for the cloud-init data: Flow sequence/,
      );
      expect(await refusal(mime(["text/cloud-config", "- a list", encoding], script))).to.contain(
        "the part part-0.txt",
      );
    }
    const single = `Content-Type: text/cloud-config\nMIME-Version: 1.0\n\n${broken}`;
    expect(await refusal(single)).to.contain("the part 1");
    const inside = mime(["text/cloud-config", broken]);
    const nested = `Content-Type: multipart/mixed; boundary=out\n\n--out\n${inside}\n--out--\n`;
    expect(await refusal(nested)).to.contain("the part part-0.txt");
  });

  it("in MIME is refused where no part can be found", async () => {
    expect(await refusal("Content-Type: multipart/mixed; boundary=b\n\n")).to.contain(
      "at least one MIME part",
    );
  });

  it("is otherwise a config, a script, or refused", async () => {
    for (const text of ["#!/bin/sh\n[", "#cloud-config\n", `#cloud-config\n${config}`]) {
      expect(await refusal(text)).to.equal("taken");
    }
    for (const text of [
      config,
      "",
      `#cloud-config\n${broken}`,
      "#cloud-config\n- a",
      "#cloud-config\na: *b",
    ]) {
      expect(await refusal(text), text).to.contain("the cloud-init data");
    }
  });
});

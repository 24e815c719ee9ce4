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

  it("is otherwise of a kind that cloud-init knows, or refused", async () => {
    for (const text of [
      "",
      "#!/bin/sh\n[",
      "#cloud-config\n",
      `\n \n#Cloud-Config\n${config}`,
      "#include\nhttp://host.example/x\n",
      "#include-once http://host.example/x",
      "#cloud-boothook\n#!/bin/sh\n",
      "#part-handler\n[",
      '#cloud-config-jsonp\n[{"op": "add"',
      "## template: jinja\n#cloud-config\n{% if [ %}",
      `#cloud-config-archive\n- ${JSON.stringify(`#cloud-config\n${config}`)}\n- {content: "a: 1"}\n`,
    ]) {
      expect(await refusal(text), text).to.equal("taken");
    }
    for (const text of [
      config,
      "#cloud-config-archive\na: 1\n",
      `#cloud-config-archive\n- {content: "a: ["}\n`,
      "#cloud-config-archive\n- {type: text/cloud-config}\n",
      `#cloud-config\n${broken}`,
      "#cloud-config\n- a",
      "#cloud-config\na: *b",
    ]) {
      expect(await refusal(text), text).to.contain("the cloud-init data");
    }
  });

  it("that cloud-init would ignore is told of", async () => {
    const warnings = await checkUserData("# vim: ft=yaml\n\n#cloud-config\nusers: [me]\n");
    expect(warnings[0]).to.match(/^cloud-init ignores it: before #cloud-config/);
    expect(await checkUserData("Content-Type: text/cloud-config\n\na: 1\n")).to.have.length(1);
    expect(await checkUserData("#!/bin/sh\r\ntrue\r\n")).to.match(/carriage return/);
  });

  const lockouts: Readonly<Record<string, RegExp>> = {
    "users: [me]": /^`users` does not contain `default`/,
    "users: []": /does not contain `default`/,
    "users: me,you": /does not contain `default`/,
    "users: {me: true}": /does not contain `default`/,
    "users: [{name: ubuntu}]": /does not contain `default`/,
    "user: admin": /^`user` makes admin the default user/,
    "user: {name: admin}": /^`user` makes admin/,
    "system_info: {default_user: {name: admin}}": /^`system_info` makes admin/,
    "password: x": /^`password` expires at once/,
    "password: x\nchpasswd: {expire: true}": /^`password` expires/,
    "power_state: {mode: poweroff}": /turns the guest off \(poweroff\)/,
    "allow_public_ssh_keys: false\nssh_authorized_keys: [x]": /keeps strata's key out/,
  };
  for (const [text, says] of Object.entries(lockouts)) {
    it(`is warned about where it would lock strata out: ${text.replace("\n", ", ")}`, async () => {
      for (const data of [
        `#cloud-config\n${text}\n`,
        `## template: jinja\n#cloud-config\n${text}\nruncmd: [echo {{ v1.x }}]\n`,
        mime(["text/cloud-config", text]),
        mime(["text/plain", `#cloud-config\n${text}\n`]),
        `#cloud-config-archive\n- content: ${JSON.stringify(text)}\n`,
      ]) {
        const [warning, ...others] = await checkUserData(data);
        expect(warning, data).to.match(says);
        expect(others).to.deep.equal([]);
      }
    });
  }

  it("is not warned about where strata can log in", async () => {
    for (const text of [
      "users: [default, {name: me}]",
      "users: [{name: default}]",
      "users: me, default",
      "users: {default: true, me: true}",
      "user: ubuntu",
      "password: x\nchpasswd: {expire: false}",
      "power_state: {mode: reboot}",
      "ssh_authorized_keys: [x]",
      "a: 1\na: 2",
    ]) {
      expect(await checkUserData(`#cloud-config\n${text}\n`), text).to.deep.equal([]);
    }
  });
});

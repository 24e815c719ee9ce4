import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { isStrataError } from "../../../../lib/errors.ts";
import { keyPair, makeKeyPair } from "../../../../lib/guest/keys.ts";

/** As ssh2 makes them now and then: the public half has 31 bytes. */
const UNREADABLE = `-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMgAAAAtz
c2gtZWQyNTUxOQAAAB+R5j+3z7MwKHrM0ZcsXczyAJvxWJY9AJ7BFQ29MPCkAAAA
iCg2CeUoNgnlAAAAC3NzaC1lZDI1NTE5AAAAH5HmP7fPszAoeszRlyxdzPIAm/FY
lj0AnsEVDb0w8KQAAAA/T/rlpfN6XasuN4McHAH5I2bN1w57FKZWZlhjzUfWGmKR
5j+3z7MwKHrM0ZcsXczyAJvxWJY9AJ7BFQ29MPCkAAAABnN0cmF0YQE=
-----END OPENSSH PRIVATE KEY-----
`;

describe("the key pair for guests", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "strata-keys-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it("is made once, the key for its owner alone, and one that reads back", async () => {
    const ssh = join(folder, "ssh");
    const [one, two] = await Promise.all([keyPair(ssh), keyPair(ssh)]);
    expect(one).to.deep.equal(two);
    expect(await keyPair(ssh)).to.deep.equal(one);
    expect(one.publicKey).to.match(/^ssh-ed25519 [A-Za-z0-9+/=]+ strata$/);
    expect((await stat(ssh)).mode & 0o777).to.equal(0o700);
    expect((await stat(join(ssh, "id_ed25519"))).mode & 0o777).to.equal(0o600);

    const good = makeKeyPair();
    const made = [{ private: UNREADABLE, public: "" }, good];
    expect(makeKeyPair(() => made.shift() ?? good)).to.equal(good);
  });

  it("is refused when others can read it, or it is no key, and left as it is", async () => {
    const path = join(folder, "id_ed25519");
    await keyPair(folder);
    const key = await readFile(path, "utf8");
    for (const [mode, content] of [
      [0o640, key],
      [0o600, "no key"],
    ] as const) {
      await writeFile(path, content);
      await chmod(path, mode);
      const error: unknown = await keyPair(folder).catch((thrown: unknown) => thrown);
      expect(isStrataError(error) && error.code).to.equal("PERMISSION_DENIED");
      expect(await readFile(path, "utf8")).to.equal(content);
    }
  });
});

import { once } from "node:events";
import { readdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { expect } from "chai";
import { Strata } from "../../../lib/index.ts";
import { connect, DomainXmlFlags } from "../../../plugins/libvirt/rpc/index.ts";
import { readConsoleLog } from "../../../plugins/libvirt/xml/console.ts";
import { parse } from "../../../plugins/libvirt/xml/document.ts";
import { done, guestImage, strata } from "../../support/program.ts";

const NAME = `console-${process.pid}-a`;
/** How long the guest may take to answer on its console, ms. */
const ANSWER_TIMEOUT_MS = 60_000;

/** One guest for all: it is launched once, and started once more. */
describe("the serial console of a guest", () => {
  before(async () => {
    await guestImage();
    await done(["launch", "debian-micro", "--name", NAME, "--memory", "256M"]);
  });
  after(() => strata(["delete", "--purge", NAME]));

  /** The definition of an instance as libvirt has it. */
  async function definitionOf(name: string): Promise<string> {
    await using connection = await connect("qemu:///system");
    const domain = await connection.lookupDomainByName(name);
    return await domain.getXml(DomainXmlFlags.INACTIVE);
  }

  async function logPathOf(name: string): Promise<string> {
    const path = readConsoleLog(await parse(await definitionOf(name)));
    if (path === undefined) {
      throw new Error("its console is not logged");
    }
    return path;
  }

  /** Has the guest write a line on its console. */
  const say = (word: string) =>
    done(["exec", NAME, "--", "sudo", "sh", "-c", 'echo "$0" > /dev/ttyS0', word]);

  it("is logged from the first boot on, for nobody but root", async () => {
    expect(await done(["logs", NAME])).to.contain(`${NAME} login:`);
    expect((await stat(await logPathOf(NAME))).mode & 0o777).to.equal(0o600);
    expect(await done(["logs", "--lines", "1", NAME])).to.have.lengthOf.below(1000);
  });

  it("is followed by logs -f until it is told to end", async () => {
    await using library = await Strata.open();
    const abort = new AbortController();
    let seen = "";
    for await (const chunk of library.instances.logs(NAME, {
      follow: true,
      lines: 1,
      signal: abort.signal,
    })) {
      if (seen === "") {
        void say("heard-by-follow");
      }
      seen += Buffer.from(chunk).toString();
      if (seen.includes("heard-by-follow")) {
        abort.abort();
      }
    }
    expect(seen).to.contain("heard-by-follow");
  });

  it("is opened once, answers, and is taken over by force", async () => {
    await using library = await Strata.open();
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    await using console = await library.instances.console(NAME, { signal });
    let seen = "";
    const answered = new Promise<void>((resolve, reject) => {
      console.stdout.on("data", (chunk) => {
        seen += String(chunk);
        if (seen.includes("login:")) {
          resolve();
        }
      });
      console.stdout.once("end", () => reject(new Error(`it has ended with ${JSON.stringify(seen)}`)));
    });
    console.stdin.write("\n");
    await answered;
    const refused = await library.instances.console(NAME).catch((error: unknown) => error);
    expect(refused).to.include({ code: "CONSOLE_BUSY" });
    const ended = once(console.stdout, "end");
    await using _other = await library.instances.console(NAME, { force: true });
    await ended;
  });

  it("is not what doctor complains of, and a copy has one of its own", async () => {
    const copy = `${NAME}copy`;
    await done(["stop", NAME]);
    try {
      await done(["clone", NAME, "--name", copy]);
      expect(await done(["logs", copy])).to.equal("");
      expect(dirname(await logPathOf(copy))).not.to.equal(dirname(await logPathOf(NAME)));
      const { findings } = JSON.parse((await strata(["doctor", "--format", "json"])).stdout);
      const ours = findings.filter(({ instance }: { instance?: string }) => instance?.startsWith(NAME));
      expect(ours).to.deep.equal([]);
    } finally {
      await strata(["delete", "--purge", copy]);
    }
  });

  it("is logged from the next start on for an instance of an earlier version, and waited for", async () => {
    await done(["stop", NAME]);
    {
      await using connection = await connect("qemu:///system");
      await connection.defineDomain((await definitionOf(NAME)).replace(/<log [^>]*\/>/g, ""));
    }
    const { code, stderr } = await strata(["logs", NAME]);
    expect([code, stderr]).to.satisfy(
      ([exit, text]: [number, string]) => exit === 11 && text.includes("the next start"),
    );
    const late = await strata(["start", "--timeout", "1", NAME]);
    expect(late.code).to.equal(10);
    expect(late.stderr).to.contain("The last lines of its console:");
    for (const state of ["running", "address", "ssh", "cloud-init"]) {
      await done(["wait", "--for", state, "--timeout", "300", NAME]);
    }
    await say("still-here");
    expect(await done(["logs", NAME])).to.contain("still-here");
    const waiting = strata(["wait", "--for", "stopped", "--timeout", "120", NAME]);
    await done(["stop", NAME]);
    expect((await waiting).code).to.equal(0);
  });

  it("goes with the instance when that is purged", async () => {
    const folder = dirname(await logPathOf(NAME));
    expect(await readdir(folder)).to.include("console.log");
    await done(["delete", "--purge", NAME]);
    expect(await readdir(dirname(folder))).not.to.include(folder.split("/").at(-1));
  });
});

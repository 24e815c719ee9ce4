import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { makeKeyPair } from "../../lib/guest/keys.ts";
import { type SshServer, sshServer } from "../support/guest/ssh-server.ts";
import { type Actors, openActors } from "./process.ts";
import { disturb, openTorture, type Torture, type Trial } from "./trials.ts";

/** What the far side is asked to run, and is not installed everywhere: standard input and output to a socket. */
const NC = `#!${process.execPath}
const socket = require("node:net").connect(process.argv[3]);
process.stdin.pipe(socket).pipe(process.stdout);
`;

/** libvirtd spoken to over a real ssh, whose server drops the connection. */
describe("an ssh connection to libvirtd that breaks off", () => {
  let torture: Torture;
  let folder: string;
  let server: SshServer;
  let actors: Actors;
  const path = process.env.PATH;
  before(async () => {
    torture = await openTorture({
      only: ["take", "restore, elsewhere", "delete in the middle, merging", "delete under the head"],
    });
    folder = await mkdtemp(join(tmpdir(), "strata-ssh-"));
    const keys = makeKeyPair();
    const config = [
      `IdentityFile ${folder}/key`,
      "IdentitiesOnly yes",
      `UserKnownHostsFile ${folder}/known`,
      "StrictHostKeyChecking accept-new",
    ];
    await writeFile(join(folder, "key"), keys.private, { mode: 0o600 });
    await writeFile(join(folder, "config"), config.join("\n"));
    await writeFile(join(folder, "ssh"), `#!/bin/sh\nexec /usr/bin/ssh -F ${folder}/config "$@"\n`);
    await writeFile(join(folder, "nc"), NC);
    for (const program of ["ssh", "nc"]) {
      await chmod(join(folder, program), 0o755);
    }
    process.env.PATH = `${folder}:${path}`;
    server = await sshServer(keys);
    const { uri } = torture.world.settings;
    const socket = new URL(uri ?? "").searchParams.get("socket");
    const far = `qemu+ssh://root@127.0.0.1:${server.endpoint.port}/system?socket=${socket}`;
    actors = await openActors({ ...torture.world.settings, uri: far });
  });
  after(async () => {
    await actors[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    process.env.PATH = path;
    await rm(folder, { recursive: true, force: true });
    await torture[Symbol.asyncDispose]();
  });

  it("at any call: it is said so or got over, and the next command puts all right", async () => {
    const { world, scenarios } = torture;
    const trials = scenarios.flatMap((scenario): Trial[] =>
      scenario.boundaries
        .filter(({ what }) => what.startsWith("domain_"))
        .map(({ at }) => ({
          scenario,
          disturbance: { kind: "meanwhile", at, errors: ["ENGINE_LOST"], happens: () => server.cut() },
        })),
    );
    expect(trials.length).to.be.greaterThan(20);
    for (const trial of trials) {
      await disturb({ world, actors }, trial).catch((error: unknown) => {
        throw new Error(`${trial.scenario.name}, ${JSON.stringify(trial.disturbance)}`, { cause: error });
      });
    }
    expect(server.seen.filter((what) => what === "exec").length).to.be.greaterThan(trials.length / 2);
  });
});

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { execa } from "execa";
import { clearFolder, ownFolder } from "../leftovers.ts";
import { PROGRAM } from "../program.ts";

/** This host a second time, as another one: an ssh server of the test's own, and folders of strata of its own. */
export interface FarHost extends AsyncDisposable {
  readonly folder: string;
  /** Its address for `strata --host`. */
  readonly address: string;
  /** The environment here: `ssh` is the real one, with a configuration and keys of the test's own. */
  readonly env: Record<string, string>;
  /** The folder that is home there. */
  readonly home: string;
  /** Runs a command there that has nothing to do with strata's connection; resolves to its standard output. */
  there(script: string): Promise<string>;
  /** Ends the kept connections and the server, so that nothing answers any more. */
  stop(): Promise<void>;
}

/** `engine`: environment of strata on the far host. */
export async function farHost(
  engine: Record<string, string> = { STRATA_DRIVER: "memory" },
): Promise<FarHost> {
  const folder = await ownFolder("test");
  const at = (...parts: string[]) => join(folder, ...parts);
  const home = at("far");
  for (const each of ["far", "far/bin", "near", "near/run", "near/bin"]) {
    await mkdir(at(each), { mode: 0o700 });
  }
  await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", at("host-key")]);
  await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", at("user-key")]);
  await writeFile(at("authorized"), await readFile(at("user-key.pub")), { mode: 0o600 });
  const port = await freePort();
  const variables = { HOME: home, PATH: `${home}/bin:/usr/bin:/bin`, ...engine };
  await writeFile(
    at("sshd_config"),
    [
      `Port ${port}`,
      "ListenAddress 127.0.0.1",
      `HostKey ${at("host-key")}`,
      `AuthorizedKeysFile ${at("authorized")}`,
      "StrictModes no",
      "UsePAM no",
      "PasswordAuthentication no",
      "PermitRootLogin yes",
      "PrintMotd no",
      "PidFile none",
      `SetEnv ${Object.entries(variables)
        .map(([name, value]) => `${name}=${value}`)
        .join(" ")}`,
      "",
    ].join("\n"),
  );
  const script = (program: string) => `#!/bin/sh\nexec ${program} "$@"\n`;
  await writeFile(at("far/bin/strata"), script(`${process.execPath} ${PROGRAM}`), { mode: 0o755 });
  await writeFile(at("near/bin/ssh"), script(`/usr/bin/ssh -F ${at("ssh_config")}`), { mode: 0o755 });
  const hostKey = (await readFile(at("host-key.pub"), "utf8")).split(" ").slice(0, 2).join(" ");
  await writeFile(at("known"), `[127.0.0.1]:${port} ${hostKey}\n`);
  await writeFile(
    at("ssh_config"),
    `IdentityFile ${at("user-key")}\nIdentitiesOnly yes\nUserKnownHostsFile ${at("known")}\nGlobalKnownHostsFile /dev/null\n`,
  );
  const server = await startServer(at("sshd_config"));
  const env = {
    HOME: at("near"),
    PATH: `${at("near/bin")}:${process.env.PATH}`,
    XDG_RUNTIME_DIR: at("near/run"),
    XDG_CACHE_HOME: at("near/cache"),
    STRATA_DRIVER: "none",
    STRATA_HOST: "",
  };
  const stop = async () => {
    if (server.exitCode === null && server.signalCode === null) {
      server.kill("SIGTERM");
      await once(server, "exit");
    }
    await clearConnections(at("near/run"));
  };
  return {
    folder,
    address: `ssh://${userInfo().username}@127.0.0.1:${port}`,
    env,
    home,
    async there(text) {
      const { stdout } = await execa("sh", ["-c", text], { env: variables, cwd: home });
      return stdout;
    },
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
      await clearFolder(folder);
    },
  };
}

/** sshd starts itself again for each connection, so its path must be absolute. */
async function startServer(config: string): Promise<ChildProcess> {
  await mkdir("/run/sshd", { recursive: true });
  const server = spawn("/usr/sbin/sshd", ["-D", "-e", "-f", config], { stdio: ["ignore", "ignore", "pipe"] });
  if (server.stderr === null) {
    throw new Error("sshd has no standard error");
  }
  const said: string[] = [];
  for await (const line of createInterface({ input: server.stderr })) {
    said.push(line);
    if (/^Server listening on /.test(line)) {
      server.stderr.resume();
      return server;
    }
  }
  throw new Error(`sshd did not start: ${said.join("; ")}`);
}

/** The masters of kept connections, which ssh has started in the background. */
async function clearConnections(runtime: string): Promise<void> {
  await execa(
    "sh",
    ["-c", 'for each in "$1"/strata/*; do [ ! -S "$each" ] || ssh -S "$each" -O exit x; done', "sh", runtime],
    {
      reject: false,
    },
  );
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") {
    throw new Error("the server has no port");
  }
  return address.port;
}

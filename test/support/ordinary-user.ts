import { type ChildProcess, spawn } from "node:child_process";
import { chmod, cp, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import type { Ended } from "./program.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** What the bundled program finds beside it. */
const MODULES = ["ssh2", "asn1", "bcrypt-pbkdf", "safer-buffer", "tweetnacl"];

export interface OrdinaryUser extends AsyncDisposable {
  readonly home: string;
  /** Runs the built program as that user. */
  strata(...args: string[]): Promise<Ended>;
  /** Starts it and leaves it running; it ends with the test. */
  start(...args: string[]): ChildProcess;
  /** The same for what must succeed; resolves to its standard output. */
  done(...args: string[]): Promise<string>;
  /** A copy of a file in the user's home. */
  bring(path: string, name: string): Promise<string>;
}

/** A user of this host with a home of its own, who is in no group, and whose processes end with the test. */
export async function ordinaryUser(): Promise<OrdinaryUser> {
  const folder = await mkdtemp(join(tmpdir(), "strata-user-"));
  await chmod(folder, 0o755);
  const name = `strata-${process.pid}`;
  const home = join(folder, "home");
  await execa("useradd", ["--create-home", "--home-dir", home, "--shell", "/bin/sh", name]);
  const id = async (flag: string) => Number((await execa("id", [flag, name])).stdout);
  const [uid, gid] = [await id("-u"), await id("-g")];
  // The checkout may be where only its owner can look.
  const program = join(folder, "program");
  await cp(join(ROOT, "dist"), join(program, "dist"), { recursive: true });
  await cp(join(ROOT, "package.json"), join(program, "package.json"));
  for (const each of MODULES) {
    await cp(join(ROOT, "node_modules", each), join(program, "node_modules", each), {
      recursive: true,
      dereference: true,
    });
  }
  const env = { HOME: home, USER: name, LOGNAME: name, PATH: process.env.PATH ?? "" };
  const start = (...args: string[]) =>
    spawn(process.execPath, [join(program, "dist/bin/strata.js"), ...args], { uid, gid, env, cwd: home });
  const strata = async (...args: string[]): Promise<Ended> => {
    const result = await execa(process.execPath, [join(program, "dist/bin/strata.js"), ...args], {
      uid,
      gid,
      env,
      extendEnv: false,
      cwd: home,
      reject: false,
      stripFinalNewline: false,
      stdin: "ignore",
    });
    return { code: result.exitCode ?? -1, stdout: result.stdout, stderr: result.stderr };
  };
  return {
    home,
    strata,
    start,
    async done(...args) {
      const { code, stdout, stderr } = await strata(...args);
      if (code !== 0) {
        throw new Error(`strata ${args.join(" ")} ended with ${code}: ${stderr}`);
      }
      return stdout;
    },
    async bring(path, into) {
      const copy = join(home, into);
      await execa("cp", ["--sparse=always", path, copy]);
      await execa("chown", [`${uid}:${gid}`, copy]);
      return copy;
    },
    async [Symbol.asyncDispose]() {
      for (const pid of await processesOf(uid)) {
        process.kill(pid, "SIGKILL");
      }
      await execa("userdel", ["--force", name], { reject: false });
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The user's libvirtd, its guests, and whatever else was started for it. */
async function processesOf(uid: number): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await readdir("/proc")) {
    const status = /^\d+$/.test(entry) ? await readFile(`/proc/${entry}/status`, "utf8").catch(() => "") : "";
    if (new RegExp(`^Uid:\\s+${uid}\\s`, "m").test(status)) {
      found.push(Number(entry));
    }
  }
  return found;
}

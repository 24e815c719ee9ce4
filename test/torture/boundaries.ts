import childProcess, { type ChildProcess } from "node:child_process";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { Client } from "../../plugins/libvirt/rpc/client.ts";
import { ConnectionLostError, LibvirtError } from "../../plugins/libvirt/rpc/index.ts";
import { procedures } from "../../plugins/libvirt/rpc/procedures/index.ts";

/**
 * Where the engine touches the world: calls of libvirt, changes of files, programs. Each is passed on
 * both sides of the touch, and in the middle where there is one: the call sent and not answered, the
 * program started and not ended. All are wrapped from here, so that the product knows nothing of it.
 */
export interface Boundary {
  /** Counted from 1, from the moment of `watch`. */
  readonly at: number;
  readonly when: "before" | "middle" | "after";
  readonly what: string;
}

/** What is to happen to a touch, or after it: nothing, or it fails as if the disk or the daemon had. */
export type Verdict = "go on" | "EIO" | "ENOSPC" | "lost";

export type Watcher = (boundary: Boundary) => Verdict | Promise<Verdict>;

let watcher: Watcher | undefined;
let count = 0;

/** Has every boundary from now on told to `watch`; undefined: none. */
export function watch(next: Watcher | undefined): void {
  watcher = next;
  count = 0;
}

function pass(when: Boundary["when"], what: string): Verdict | Promise<Verdict> {
  if (watcher === undefined) {
    return "go on";
  }
  count += 1;
  return watcher({ at: count, when, what });
}

/** libvirt's calls that change something. */
const CHANGES = Object.entries(procedures).filter(([name]) =>
  /set_metadata|define_xml|undefine|snapshot_create_xml|snapshot_delete|domain_create|destroy|managed_save$|suspend|resume|restore_flags|fsfreeze|fsthaw|abort_job/.test(
    name,
  ),
);

const FILES = [
  ...["unlink", "rm", "rmdir", "mkdir", "mkdtemp", "writeFile", "rename", "copyFile", "chmod", "chown"],
  ...["link", "symlink", "truncate", "open"],
] as const;

/** Flags of `open` that make or change a file. */
function isChange(name: string, args: readonly unknown[]): boolean {
  return name !== "open" || (typeof args[1] === "string" && args[1] !== "r");
}

/** What qemu-img does without changing a file. */
const LOOKS = ["map", "info", "compare", "check"];

/** Wraps all of it. Once, before anything is under way. */
export function install(): void {
  wrapCalls();
  wrapFiles();
  wrapPrograms();
  syncBuiltinESMExports();
}

function fault(verdict: Exclude<Verdict, "go on">): Error {
  const message = verdict === "ENOSPC" ? "ENOSPC: no space left on device" : "EIO: i/o error";
  return Object.assign(new Error(`${message} (injected)`), { code: verdict });
}

function libvirtFault(verdict: Verdict): LibvirtError {
  const message = verdict === "ENOSPC" ? "cannot write: No space left on device" : "Input/output error";
  return new LibvirtError({ code: 1, domain: 10, level: 2, message });
}

function wrapCalls(): void {
  const original = Client.prototype.call;
  const changes = new Map<object, string>(CHANGES.map(([name, procedure]) => [procedure, name]));
  Client.prototype.call = async function (this: Client, procedure, args, limits, listener) {
    const name = changes.get(procedure);
    if (name === undefined) {
      return original.call(this, procedure, args, limits, listener) as never;
    }
    const before = await pass("before", name);
    if (before === "EIO" || before === "ENOSPC") {
      throw libvirtFault(before);
    }
    if (before === "lost") {
      this.end(lost());
    }
    const answer = original.call(this, procedure, args, limits, listener);
    // Sent, unless others are on the way; unanswered either way.
    answer.catch(() => {});
    const middle = await pass("middle", name);
    if (middle === "lost") {
      this.end(lost());
    }
    const result = await answer;
    const after = await pass("after", name);
    if (after === "EIO" || after === "ENOSPC") {
      throw libvirtFault(after);
    }
    return result as never;
  };
}

function lost(): Error {
  return new ConnectionLostError("the connection was cut (injected)");
}

function wrapFiles(): void {
  const target = fs.promises as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
  for (const name of FILES) {
    const original = target[name];
    if (original === undefined) {
      throw new Error(`there is no fs.promises.${name}`);
    }
    target[name] = async (...args) => {
      if (!isChange(name, args)) {
        return original(...args);
      }
      const before = await pass("before", name);
      if (before === "EIO" || before === "ENOSPC") {
        throw fault(before);
      }
      const result = await original(...args);
      await pass("after", name);
      return result;
    };
  }
  wrapHandles();
}

/** What is done to an open file, wherever it was opened. */
function wrapHandles(): void {
  const { open } = fs.promises;
  const target = fs.promises as { open: typeof open };
  target.open = async (...args) => {
    const handle = await open(...args);
    for (const name of ["write", "truncate", "sync"] as const) {
      const original = handle[name].bind(handle) as (...given: unknown[]) => Promise<unknown>;
      const wrapped = async (...given: unknown[]) => {
        const before = await pass("before", name);
        if (before === "EIO" || before === "ENOSPC") {
          throw fault(before);
        }
        const result = await original(...given);
        await pass("after", name);
        return result;
      };
      Object.defineProperty(handle, name, { value: wrapped });
    }
    return handle;
  };
}

function wrapPrograms(): void {
  const original = childProcess.spawn;
  const wrapped = (program: string, args: readonly string[], options: childProcess.SpawnOptions) => {
    const name = `${program} ${args[0] ?? ""}`;
    if (program === "flock" || LOOKS.includes(args[0] ?? "")) {
      return original(program, args, options);
    }
    // spawn answers at once, so a watcher that takes time cannot be waited for before.
    const before = pass("before", name);
    let child: ChildProcess;
    if (before === "EIO" || before === "ENOSPC") {
      const words = before === "ENOSPC" ? "No space left on device" : "Input/output error";
      child = original("sh", ["-c", `echo "${name}: ${words}" >&2; exit 1`], options);
    } else {
      child = original(program, args, options);
    }
    void pass("middle", name);
    child.once("exit", () => void pass("after", name));
    return child;
  };
  childProcess.spawn = wrapped as typeof childProcess.spawn;
}
